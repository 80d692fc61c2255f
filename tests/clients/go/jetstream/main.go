// Streams, consumers, buckets and services by nats.go: prints what it saw, part by part. Arguments: the part and the server's URL.
package main

import (
	"context"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var parts = map[string]func(context.Context, *nats.Conn, jetstream.JetStream){
	"streams": streams, "pull": pull, "push": push, "kv": keyValue, "objects": objects, "services": services,
}

func main() {
	nc, err := nats.Connect(os.Args[2], nats.NoReconnect())
	must(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	parts[os.Args[1]](ctx, nc, js)
}
