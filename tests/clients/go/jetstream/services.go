package main

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

func services(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	stream := got(js.CreateStream(ctx, jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"audit.>"}}))
	service := got(micro.AddService(nc, micro.Config{Name: "text", Version: "1.2.3", Description: "works on text", Metadata: map[string]string{"team": "test"}}))
	group := service.AddGroup("text")
	must(group.AddEndpoint("upper", micro.HandlerFunc(func(request micro.Request) {
		ack := got(js.Publish(ctx, "audit.upper", request.Data()))
		must(request.RespondJSON(map[string]any{"seq": ack.Sequence, "text": string(bytes.ToUpper(request.Data()))}))
	}), micro.WithEndpointMetadata(map[string]string{"kind": "upper"})))
	must(group.AddEndpoint("fail", micro.HandlerFunc(func(request micro.Request) {
		must(request.Error("422", "cannot do it", nil))
	}), micro.WithEndpointQueueGroup("own")))
	say("answer", string(got(nc.Request("text.upper", []byte("words"), 5*time.Second)).Data))
	failed := got(nc.Request("text.fail", nil, 5*time.Second))
	say("error", failed.Header, string(failed.Data))
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		for _, name := range []string{"", ".text", ".text." + service.Info().ID} {
			var found any
			must(json.Unmarshal(got(nc.Request("$SRV."+verb+name, nil, 5*time.Second)).Data, &found))
			say(verb, found)
		}
	}
	say("audited", string(got(stream.GetLastMsgForSubject(ctx, "audit.upper")).Data))
	must(service.Stop())
	_, err := nc.Request("$SRV.PING.text", nil, time.Second)
	sayError("stopped", err)
}
