package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func entry(e jetstream.KeyValueEntry) any {
	if e == nil {
		return nil
	}
	return []any{e.Key(), string(e.Value()), e.Revision(), e.Delta(), e.Operation().String()}
}

func entries(es []jetstream.KeyValueEntry) (found []any) {
	for _, e := range es {
		found = append(found, entry(e))
	}
	return
}

func keyValue(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	kv := got(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "settings", History: 3, Description: "of the test"}))
	status := got(kv.Status(ctx))
	say("status", status.Bucket(), status.Values(), status.History(), status.TTL(), got(js.Stream(ctx, "KV_settings")).CachedInfo().Config)
	say("put", got(kv.PutString(ctx, "colour", "red")))
	say("got", entry(got(kv.Get(ctx, "colour"))))
	say("created", got(kv.Create(ctx, "size", []byte("big"))))
	_, err := kv.Create(ctx, "size", []byte("small"))
	sayError("created again", err)
	say("updated", got(kv.Update(ctx, "size", []byte("small"), 2)))
	_, err = kv.Update(ctx, "size", []byte("huge"), 2)
	sayError("updated with a wrong revision", err)
	say("got a revision", entry(got(kv.GetRevision(ctx, "size", 2))))
	_, err = kv.Get(ctx, "none")
	sayError("got none", err)
	for _, value := range []string{"green", "blue", "white"} {
		got(kv.PutString(ctx, "colour", value))
	}
	say("history", entries(got(kv.History(ctx, "colour"))))
	say("keys", sorted(got(kv.Keys(ctx))))
	must(kv.Delete(ctx, "size"))
	_, err = kv.Get(ctx, "size")
	sayError("got what is deleted", err)
	say("created after", got(kv.Create(ctx, "size", []byte("back"))))
	sayError("deleted with a wrong revision", kv.Delete(ctx, "size", jetstream.LastRevision(1)))
	must(kv.Purge(ctx, "colour"))
	say("history after", entries(got(kv.History(ctx, "colour"))))
	must(kv.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(-1)))
	say("keys after", sorted(got(kv.Keys(ctx))))
	watchers(ctx, js)
	shortLived(ctx, js)
	_, err = js.KeyValue(ctx, "none")
	sayError("no bucket", err)
	var names []string
	for name := range js.KeyValueStoreNames(ctx).Name() {
		names = append(names, name)
	}
	say("buckets", sorted(names))
	must(js.DeleteKeyValue(ctx, "settings"))
}

func watchers(ctx context.Context, js jetstream.JetStream) {
	kv := got(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "watched", History: 5, Storage: jetstream.MemoryStorage}))
	for n := range 6 {
		got(kv.PutString(ctx, fmt.Sprintf("key.%d", n%3), fmt.Sprint(n)))
	}
	must(kv.Delete(ctx, "key.1"))
	take := func(name string, watcher jetstream.KeyWatcher, err error, count int) {
		must(err)
		var found []any
		for range count {
			select {
			case e := <-watcher.Updates():
				found = append(found, entry(e))
			case <-time.After(5 * time.Second):
				fail("%s: nothing came after %v", name, found)
			}
		}
		say(name, found)
	}
	all, err := kv.WatchAll(ctx)
	take("last values", all, err, 4)
	updates, err := kv.Watch(ctx, "key.*", jetstream.UpdatesOnly())
	got(kv.PutString(ctx, "key.2", "new"))
	take("an update", all, nil, 1)
	take("only updates", updates, err, 1)
	history, err := kv.WatchFiltered(ctx, []string{"key.0", "key.2"}, jetstream.IncludeHistory())
	take("all of two keys", history, err, 6)
	values, err := kv.Watch(ctx, "key.*", jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	take("no deletes", values, err, 3)
	lister := got(kv.ListKeysFiltered(ctx, "key.0", "key.1"))
	var keys []string
	for key := range lister.Keys() {
		keys = append(keys, key)
	}
	say("keys by filter", sorted(keys))
}

func shortLived(ctx context.Context, js jetstream.JetStream) {
	kv := got(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "short", LimitMarkerTTL: 2 * time.Second}))
	watcher := got(kv.WatchAll(ctx))
	got(kv.Create(ctx, "brief", []byte("x"), jetstream.KeyTTL(time.Second)))
	for range 3 {
		select {
		case e := <-watcher.Updates():
			say("its life", entry(e))
		case <-time.After(8 * time.Second):
			fail("nothing came of a short life")
		}
	}
}
