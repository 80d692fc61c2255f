package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func pull(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	stream := got(js.CreateStream(ctx, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.*"}}))
	for n := range 200 {
		got(js.Publish(ctx, fmt.Sprintf("tasks.%d", n%5), fmt.Append(nil, n)))
	}
	acknowledgements(ctx, stream)
	consumed(ctx, stream)
	ordered(ctx, stream)
	administration(ctx, js, stream)
}

func fetched(batch jetstream.MessageBatch, err error) (found []jetstream.Msg) {
	must(err)
	for msg := range batch.Messages() {
		found = append(found, msg)
	}
	return
}

func seenAll(msgs []jetstream.Msg) (found []any) {
	for _, msg := range msgs {
		found = append(found, seen(msg))
	}
	return
}

func acknowledgements(ctx context.Context, stream jetstream.Stream) {
	consumer := got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}))
	say("a consumer", consumer.CachedInfo())
	first := got(consumer.Next())
	say("next", seen(first))
	must(first.DoubleAck(ctx))
	sayError("acknowledged twice", first.Ack())
	batch := fetched(consumer.Fetch(10, jetstream.FetchMaxWait(5*time.Second)))
	say("fetched", seenAll(batch))
	must(batch[0].Nak())
	must(batch[1].TermWithReason("no good"))
	must(batch[2].InProgress())
	for _, msg := range batch[3:] {
		must(msg.DoubleAck(ctx))
	}
	say("again", seen(got(consumer.Next())))
	info := got(consumer.Info(ctx))
	say("floors", info.Delivered, info.AckFloor, info.NumAckPending, info.NumRedelivered, info.NumPending)
	say("no wait", len(fetched(consumer.FetchNoWait(1000))))
	say("none left", len(fetched(consumer.FetchNoWait(10))))
	some := got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "bytes", AckPolicy: jetstream.AckAllPolicy}))
	batch = fetched(some.FetchBytes(500, jetstream.FetchMaxWait(5*time.Second)))
	say("few bytes", seenAll(batch))
	must(batch[len(batch)-1].DoubleAck(ctx))
	say("all up to", got(some.Info(ctx)).AckFloor)
}

func consumed(ctx context.Context, stream jetstream.Stream) {
	consumer := got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "consumed", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"tasks.1", "tasks.3"}, MaxAckPending: 20,
	}))
	found := make(chan jetstream.Msg, 200)
	consuming := got(consumer.Consume(func(msg jetstream.Msg) { found <- msg }, jetstream.PullMaxMessages(15)))
	var sequences []uint64
	for len(sequences) < 80 {
		select {
		case msg := <-found:
			must(msg.DoubleAck(ctx))
			sequences = append(sequences, got(msg.Metadata()).Sequence.Stream)
		case <-time.After(10 * time.Second):
			fail("nothing came after %v", sequences)
		}
	}
	consuming.Stop()
	say("consumed", sequences)
	messages := got(got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})).Messages())
	count := 0
	for range 200 {
		got(messages.Next())
		count++
	}
	messages.Stop()
	say("iterated", count)
	retry := got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "retry", AckPolicy: jetstream.AckExplicitPolicy, BackOff: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, MaxDeliver: 3, FilterSubject: "tasks.4",
		DeliverPolicy: jetstream.DeliverLastPolicy,
	}))
	for range 3 {
		say("delivered", seen(got(retry.Next(jetstream.FetchMaxWait(5*time.Second)))))
	}
	_, err := retry.Next(jetstream.FetchMaxWait(500 * time.Millisecond))
	sayError("given up", err)
}

func ordered(ctx context.Context, stream jetstream.Stream) {
	consumer := got(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"tasks.2"}}))
	messages := got(consumer.Messages())
	var sequences []uint64
	for range 40 {
		sequences = append(sequences, got(got(messages.Next()).Metadata()).Sequence.Stream)
	}
	messages.Stop()
	say("ordered", sequences)
	last := got(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}))
	say("last of each", seenAll(fetched(last.Fetch(5, jetstream.FetchMaxWait(5*time.Second)))))
	since := got(stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 199}))
	say("since", seenAll(fetched(since.Fetch(2, jetstream.FetchMaxWait(5*time.Second)))))
}

func administration(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream) {
	_, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 7})
	sayError("created again", err)
	info := got(stream.UpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 7})).CachedInfo()
	say("updated", info.Config)
	_, err = stream.UpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "none", AckPolicy: jetstream.AckExplicitPolicy})
	sayError("update of none", err)
	_, err = stream.Consumer(ctx, "none")
	sayError("none", err)
	paused := got(stream.PauseConsumer(ctx, "worker", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)))
	say("paused", paused.Paused, paused.PauseUntil)
	say("resumed", got(stream.ResumeConsumer(ctx, "worker")).Paused)
	var names []string
	for info := range stream.ListConsumers(ctx).Info() {
		if info.Config.Durable != "" {
			names = append(names, info.Config.Durable)
		}
	}
	say("names", sorted(names))
	pinned := got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "pinned", AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"g"}, PinnedTTL: time.Minute,
	}))
	say("pinned", seenAll(fetched(pinned.Fetch(2, jetstream.FetchPriorityGroup("g"), jetstream.FetchMaxWait(5*time.Second)))))
	must(stream.UnpinConsumer(ctx, "pinned", "g"))
	consumer := got(stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "gone", DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy}))
	messages := got(consumer.Messages())
	ended := make(chan error)
	go func() {
		_, err := messages.Next()
		ended <- err
	}()
	until("the request", func() (*jetstream.ConsumerInfo, error) { return consumer.Info(ctx) }, func(info *jetstream.ConsumerInfo) bool { return info.NumWaiting == 1 })
	must(stream.DeleteConsumer(ctx, "gone"))
	say("deleted meanwhile", errors.Is(<-ended, jetstream.ErrConsumerDeleted))
	sayError("deleted again", stream.DeleteConsumer(ctx, "gone"))
}
