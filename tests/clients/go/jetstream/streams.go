package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func streams(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	configurations(ctx, js)
	publishing(ctx, js)
	reading(ctx, js)
	mirrors(ctx, js)
	info := got(js.AccountInfo(ctx))
	say("account", info.Streams, info.Consumers, info.Limits, info.Domain)
	must(js.DeleteStream(ctx, "ORDERS"))
	sayError("deleted again", js.DeleteStream(ctx, "ORDERS"))
}

func configurations(ctx context.Context, js jetstream.JetStream) {
	stream := got(js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}))
	say("created", stream.CachedInfo())
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"others"}})
	sayError("another with its name", err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"orders.*"}})
	sayError("subjects overlap", err)
	whole := jetstream.StreamConfig{
		Name: "WHOLE", Description: "all limits", Subjects: []string{"whole.*"}, Retention: jetstream.LimitsPolicy, MaxConsumers: 5, MaxMsgs: 100, MaxBytes: 100_000,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxAge: time.Hour, MaxMsgsPerSubject: 10, MaxMsgSize: 1000, Storage: jetstream.MemoryStorage,
		Duplicates: time.Minute, DenyDelete: true, AllowRollup: true, AllowDirect: true, FirstSeq: 1000, Metadata: map[string]string{"owner": "test"},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "whole.*", Destination: "stored.{{wildcard(1)}}"},
		RePublish:        &jetstream.RePublish{Source: "stored.*", Destination: "again.{{wildcard(1)}}", HeadersOnly: true},
		ConsumerLimits:   jetstream.StreamConsumerLimits{MaxAckPending: 10, InactiveThreshold: time.Minute},
	}
	say("all limits", got(js.CreateStream(ctx, whole)).CachedInfo())
	whole.MaxMsgs, whole.Compression = 200, jetstream.S2Compression
	stream, err = js.UpdateStream(ctx, whole)
	sayError("updated", err)
	whole.Name = "NONE"
	_, err = js.UpdateStream(ctx, whole)
	sayError("update of none", err)
	_, err = js.Stream(ctx, "NONE")
	sayError("info of none", err)
	lister := js.StreamNames(ctx)
	var names []string
	for name := range lister.Name() {
		names = append(names, name)
	}
	say("names", sorted(names))
	name, err := js.StreamNameBySubject(ctx, "whole.1")
	say("by subject", name, fmt.Sprint(err))
}

func publishing(ctx context.Context, js jetstream.JetStream) {
	say("first", got(js.Publish(ctx, "orders.a", []byte("one"), jetstream.WithMsgID("one"))))
	say("again", got(js.Publish(ctx, "orders.a", []byte("one"), jetstream.WithMsgID("one"))))
	for _, option := range []jetstream.PublishOpt{
		jetstream.WithExpectStream("OTHER"), jetstream.WithExpectLastMsgID("two"), jetstream.WithExpectLastSequence(5),
		jetstream.WithExpectLastSequencePerSubject(5), jetstream.WithExpectLastSequenceForSubject(7, "orders.*"),
	} {
		_, err := js.Publish(ctx, "orders.a", []byte("no"), option)
		sayError("wrong", err)
	}
	var futures []jetstream.PubAckFuture
	for n := range 1000 {
		futures = append(futures, got(js.PublishAsync(fmt.Sprintf("orders.%d", n%10), fmt.Append(nil, n))))
	}
	inOrder := true
	for n, future := range futures {
		select {
		case ack := <-future.Ok():
			inOrder = inOrder && ack.Sequence == uint64(n+2)
		case err := <-future.Err():
			fail("%v", err)
		}
	}
	say("at once", inOrder)
	_, err := js.Publish(ctx, "nowhere", nil, jetstream.WithRetryAttempts(0))
	sayError("no stream", err)
	say("changed", got(js.Publish(ctx, "whole.x", []byte("body"))))
}

func reading(ctx context.Context, js jetstream.JetStream) {
	stream := got(js.Stream(ctx, "ORDERS"))
	read := func(name string, msg *jetstream.RawStreamMsg, err error) {
		if err != nil {
			sayError(name, err)
		} else {
			say(name, msg.Subject, msg.Sequence, string(msg.Data), msg.Header)
		}
	}
	msg, err := stream.GetMsg(ctx, 1)
	read("by sequence", msg, err)
	msg, err = stream.GetMsg(ctx, 100, jetstream.WithGetMsgSubject("orders.3"))
	read("next by subject", msg, err)
	msg, err = stream.GetLastMsgForSubject(ctx, "orders.4")
	read("last by subject", msg, err)
	msg, err = stream.GetMsg(ctx, 5000)
	read("none", msg, err)
	must(stream.DeleteMsg(ctx, 10))
	must(stream.SecureDeleteMsg(ctx, 11))
	sayError("deleted again", stream.DeleteMsg(ctx, 10))
	say("details", got(stream.Info(ctx, jetstream.WithDeletedDetails(true), jetstream.WithSubjectFilter("orders.*"))).State)
	must(stream.Purge(ctx, jetstream.WithPurgeSubject("orders.1"), jetstream.WithPurgeKeep(3)))
	must(stream.Purge(ctx, jetstream.WithPurgeSequence(50)))
	say("after", got(stream.Info(ctx, jetstream.WithSubjectFilter(">"))).State)
	whole := got(js.Stream(ctx, "WHOLE"))
	msg, err = whole.GetLastMsgForSubject(ctx, "stored.x")
	read("direct last", msg, err)
	msg, err = whole.GetMsg(ctx, 1000)
	read("direct by sequence", msg, err)
	msg, err = whole.GetMsg(ctx, 1)
	read("direct none", msg, err)
	sayError("deletion is denied", whole.DeleteMsg(ctx, 1000))
}

func mirrors(ctx context.Context, js jetstream.JetStream) {
	got(js.CreateStream(ctx, jetstream.StreamConfig{Name: "MIRROR", Mirror: &jetstream.StreamSource{Name: "ORDERS"}, MirrorDirect: true}))
	count := got(got(js.Stream(ctx, "ORDERS")).Info(ctx)).State.Msgs
	until("the mirror", func() (jetstream.Stream, error) { return js.Stream(ctx, "MIRROR") }, func(s jetstream.Stream) bool { return s.CachedInfo().State.Msgs == count })
	say("mirrored", got(js.Stream(ctx, "MIRROR")).CachedInfo().State)
	got(js.CreateStream(ctx, jetstream.StreamConfig{Name: "SOURCES", Sources: []*jetstream.StreamSource{{Name: "ORDERS", OptStartSeq: 905, FilterSubject: "orders.5"}}}))
	until("the sources", func() (jetstream.Stream, error) { return js.Stream(ctx, "SOURCES") }, func(s jetstream.Stream) bool { return s.CachedInfo().State.Msgs == 10 })
	say("from sources", got(got(js.Stream(ctx, "SOURCES")).Info(ctx, jetstream.WithSubjectFilter(">"))).State)
}
