package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Times, ids and rates, which differ from run to run.
var volatile = map[string]bool{
	"created": true, "ts": true, "first_ts": true, "last_ts": true, "last_active": true, "time": true, "active": true, "mtime": true, "nuid": true, "ModTime": true, "NUID": true,
	"pause_remaining": true, "pause_until": true, "_nats.ver": true, "cluster": true, "id": true, "started": true, "processing_time": true, "average_processing_time": true,
	"Nats-Time-Stamp": true,
}

func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			if volatile[key] || item == nil {
				delete(value, key)
			} else {
				value[key] = plain(item)
			}
		}
	case []any:
		for n, item := range value {
			value[n] = plain(item)
		}
	}
	return value
}

// say prints values as JSON, keys sorted.
func say(name string, values ...any) {
	text, err := json.Marshal(values)
	must(err)
	var value any
	must(json.Unmarshal(text, &value))
	text, err = json.Marshal(plain(value))
	must(err)
	fmt.Printf("%s: %s\n", name, text)
}

// sayError prints the error that something ended with, or that there was none.
func sayError(name string, err error) {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		say(name, api.Code, api.ErrorCode, api.Description)
	} else {
		say(name, fmt.Sprint(err))
	}
}

func sorted[T ~string](values []T) []T {
	slices.Sort(values)
	return values
}

// until asks again until it is so.
func until[T any](what string, ask func() (T, error), isSo func(T) bool) T {
	var value T
	var err error
	for range 500 {
		if value, err = ask(); err == nil && isSo(value) {
			return value
		}
		time.Sleep(20 * time.Millisecond)
	}
	fail("waiting for %s: %v %v", what, value, err)
	return value
}

func seen(msg jetstream.Msg) []any {
	meta, err := msg.Metadata()
	must(err)
	return []any{msg.Subject(), string(msg.Data()), meta.Sequence.Stream, meta.Sequence.Consumer, meta.NumDelivered, meta.NumPending}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func got[T any](value T, err error) T {
	must(err)
	return value
}
