package main

import (
	"bytes"
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func objects(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	large := make([]byte, 700_000)
	for n := range large {
		large[n] = byte(n * n % 251)
	}
	store := got(js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "files", Description: "of the test", MaxBytes: 10_000_000}))
	say("status", got(js.Stream(ctx, "OBJ_files")).CachedInfo().Config)
	put := func(name string, info *jetstream.ObjectInfo, err error) {
		must(err)
		say(name, info)
	}
	info, err := store.Put(ctx, jetstream.ObjectMeta{Name: "large", Description: "a large one", Headers: nats.Header{"Colour": {"blue"}}}, bytes.NewReader(large))
	put("put", info, err)
	info, err = store.Put(ctx, jetstream.ObjectMeta{Name: "pieces", Opts: &jetstream.ObjectMetaOptions{ChunkSize: 1000}}, bytes.NewReader(large[:10_500]))
	put("put in pieces", info, err)
	say("got", bytes.Equal(got(store.GetBytes(ctx, "large")), large), bytes.Equal(got(store.GetBytes(ctx, "pieces")), large[:10_500]))
	_, err = store.Get(ctx, "none")
	sayError("got none", err)
	info, err = store.PutString(ctx, "pieces", "in one")
	put("put again", info, err)
	info, err = store.AddLink(ctx, "link", got(store.GetInfo(ctx, "pieces")))
	put("link", info, err)
	say("by the link", got(store.GetString(ctx, "link")))
	must(store.UpdateMeta(ctx, "pieces", jetstream.ObjectMeta{Name: "renamed"}))
	watcher := got(store.Watch(ctx))
	names := map[string]bool{}
	for range 4 {
		select {
		case info := <-watcher.Updates():
			if info == nil {
				names["(end)"] = true
			} else {
				names[info.Name] = info.Deleted
			}
		case <-time.After(5 * time.Second):
			fail("nothing came after %v", names)
		}
	}
	say("watched", names)
	must(store.Delete(ctx, "large"))
	_, err = store.GetBytes(ctx, "large")
	sayError("got what is deleted", err)
	info, err = store.GetInfo(ctx, "large", jetstream.GetObjectInfoShowDeleted())
	put("info of what is deleted", info, err)
	var listed []string
	for _, info := range got(store.List(ctx)) {
		listed = append(listed, info.Name)
	}
	say("list", sorted(listed))
	state := got(js.Stream(ctx, "OBJ_files")).CachedInfo().State
	say("state", state.Msgs, state.FirstSeq, state.LastSeq, state.NumDeleted)
	must(store.Seal(ctx))
	_, err = store.PutString(ctx, "more", "x")
	sayError("put to a sealed one", err)
	must(js.DeleteObjectStore(ctx, "files"))
	_, err = js.ObjectStore(ctx, "files")
	sayError("deleted", err)
}
