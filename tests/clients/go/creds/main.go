// Connects with a creds file, and gets its own message back: creds URL CREDS.
//
// With a subject behind them it stays until the server closes the connection, publishing to that subject all the time; it prints
// that it is in, and each error once.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

const wait = 5 * time.Second

func connect(url, creds string, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.UserCredentials(creds), nats.NoReconnect(), nats.Timeout(wait))
	return nats.Connect(url, options...)
}

func echo(url, creds string) error {
	client, err := connect(url, creds)
	if err != nil {
		return err
	}
	defer client.Close()
	subscription, err := client.SubscribeSync("hello.go")
	if err != nil {
		return err
	}
	if err := client.Publish("hello.go", []byte("hi")); err != nil {
		return err
	}
	message, err := subscription.NextMsg(wait)
	if err == nil && string(message.Data) != "hi" {
		err = errors.New("another message")
	}
	return err
}

func stay(url, creds, subject string) error {
	problems, closed := make(chan error, 100), make(chan struct{})
	client, err := connect(url, creds,
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { problems <- err }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		return err
	}
	fmt.Println("in")
	said := map[string]bool{}
	for pause := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case problem := <-problems:
			if text := problem.Error(); !said[text] {
				said[text] = true
				fmt.Println(text)
			}
		case <-closed:
			return fmt.Errorf("closed: %v", client.LastError())
		case <-pause.C:
			_ = client.Publish(subject, []byte("hi"))
		}
	}
}

func main() {
	var err error
	if len(os.Args) > 3 {
		err = stay(os.Args[1], os.Args[2], os.Args[3])
	} else {
		err = echo(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
