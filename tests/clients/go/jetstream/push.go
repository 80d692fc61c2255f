package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Push consumers, also by the older interface.
func push(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	stream := got(js.CreateStream(ctx, jetstream.StreamConfig{Name: "NEWS", Subjects: []string{"news.*"}}))
	for n := range 100 {
		got(js.Publish(ctx, fmt.Sprintf("news.%d", n%4), fmt.Append(nil, n)))
	}
	consumer := got(stream.CreatePushConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "reader", DeliverSubject: "to.reader", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "news.1", IdleHeartbeat: time.Second, FlowControl: true,
	}))
	say("a consumer", consumer.CachedInfo())
	found := make(chan jetstream.Msg, 100)
	consuming := got(consumer.Consume(func(msg jetstream.Msg) { found <- msg }))
	var msgs []any
	for range 25 {
		msg := <-found
		must(msg.DoubleAck(ctx))
		msgs = append(msgs, seen(msg))
	}
	consuming.Stop()
	say("pushed", msgs)
	info := got(consumer.Info(ctx))
	say("floors", info.Delivered, info.AckFloor, info.NumAckPending, info.NumPending)
	older(nc)
	_, err := stream.CreatePushConsumer(ctx, jetstream.ConsumerConfig{Durable: "cycle", DeliverSubject: "news.x"})
	sayError("a cycle", err)
	_, err = stream.CreatePushConsumer(ctx, jetstream.ConsumerConfig{Durable: "wild", DeliverSubject: "to.*"})
	sayError("a wildcard", err)
	_, err = stream.PushConsumer(ctx, "none")
	sayError("none", err)
}

func older(nc *nats.Conn) {
	js := got(nc.JetStream())
	sub := got(js.SubscribeSync("news.2", nats.OrderedConsumer()))
	var sequences []uint64
	for range 25 {
		sequences = append(sequences, got(got(sub.NextMsg(5*time.Second)).Metadata()).Sequence.Stream)
	}
	say("ordered", sequences)
	must(sub.Unsubscribe())
	counted := make(chan uint64, 200)
	for range 3 {
		got(js.QueueSubscribe("news.*", "workers", func(msg *nats.Msg) { counted <- got(msg.Metadata()).Sequence.Stream }, nats.BindStream("NEWS")))
	}
	sum := uint64(0)
	for range 100 {
		sum += <-counted
	}
	say("a group", sum)
	headers := got(js.SubscribeSync("news.3", nats.HeadersOnly(), nats.DeliverLast(), nats.AckNone()))
	msg := got(headers.NextMsg(5 * time.Second))
	say("only headers", msg.Header, len(msg.Data))
	pulled := got(js.PullSubscribe("news.0", "puller"))
	for _, msg := range got(pulled.Fetch(3, nats.MaxWait(5*time.Second))) {
		must(msg.AckSync())
	}
	info := got(pulled.ConsumerInfo())
	say("pulled", info.Config, info.AckFloor, info.NumPending)
}
