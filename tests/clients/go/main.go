// nats.go against the server at $SERVER: prints a line for each thing that works, ends with an error at the first that does not.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const seed = "SUAH6HNJ3LG7VOXTLL2XC365TLO5HO3ARUIIAA4FQFQQINOOQBQPBZDMVI"

var here = os.Getenv("CLIENTS")

// server runs with one of the files of configs/, on a free port of the loopback interface.
type server struct {
	config, address, url string
	process              *exec.Cmd
}

var running *server

func newServer(config string) *server {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s := &server{config: config, address: probe.Addr().String()}
	must(probe.Close())
	s.url = "nats://" + s.address
	s.start()
	return s
}

func (s *server) start() {
	_, port, _ := net.SplitHostPort(s.address)
	s.process = exec.Command(os.Getenv("SERVER"), "-c", "configs/"+s.config+".conf", "-a", "127.0.0.1", "-p", port)
	s.process.Dir = here
	must(s.process.Start())
	running = s
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", s.address); err == nil {
			conn.Close()
			return
		}
	}
	fail("the server did not start with configs/%s.conf", s.config)
}

func (s *server) stop() {
	must(s.process.Process.Signal(syscall.SIGTERM))
	must(s.process.Wait())
	running = nil
}

func ok(name string) { fmt.Println("ok", name) }

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "FAILED: "+format+"\n", args...)
	if running != nil {
		_ = running.process.Process.Kill()
	}
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func check(held bool, format string, args ...any) {
	if !held {
		fail(format, args...)
	}
}

func connect(url string, options ...nats.Option) *nats.Conn {
	nc, err := nats.Connect(url, options...)
	must(err)
	must(nc.Flush())
	return nc
}

func refused(url string, options ...nats.Option) {
	_, err := nats.Connect(url, options...)
	check(errors.Is(err, nats.ErrAuthorization), "expected an authorization violation, got %v", err)
}

func authentication() {
	s := newServer("users")
	connect(s.url, nats.UserInfo("alice", "s3cret")).Close()
	connect(s.url, nats.UserInfo("bob", "s3cret")).Close()
	ok("user and password")
	refused(s.url, nats.UserInfo("alice", "wrong"))
	refused(s.url, nats.UserInfo("bob", "wrong"))
	refused(s.url)
	ok("wrong password")
	s.stop()

	s = newServer("token")
	connect(s.url, nats.Token("t0ken")).Close()
	refused(s.url, nats.Token("other"))
	ok("token")
	s.stop()

	s = newServer("nkey")
	key, err := nkeys.FromSeed([]byte(seed))
	must(err)
	public, err := key.PublicKey()
	must(err)
	connect(s.url, nats.Nkey(public, key.Sign)).Close()
	stranger, err := nkeys.CreateUser()
	must(err)
	refused(s.url, nats.Nkey(public, stranger.Sign))
	ok("nkey")
	s.stop()
}

func tls() {
	s := newServer("tls")
	url := strings.Replace(s.url, "127.0.0.1", "localhost", 1)
	nc := connect(url, nats.RootCAs(filepath.Join(here, "tls/ca.pem")))
	sub, err := nc.SubscribeSync("secret")
	must(err)
	must(nc.Publish("secret", make([]byte, 100_000)))
	msg, err := sub.NextMsg(5 * time.Second)
	must(err)
	check(len(msg.Data) == 100_000, "%d bytes", len(msg.Data))
	nc.Close()
	ok("tls")
	s.stop()
}

func messages(url string) {
	nc := connect(url)
	defer nc.Close()
	ok("connect")

	sub, err := nc.SubscribeSync("greet.*")
	must(err)
	for n := range 1000 {
		must(nc.Publish(fmt.Sprintf("greet.%d", n), []byte(fmt.Sprint(n))))
	}
	for n := range 1000 {
		msg, err := sub.NextMsg(5 * time.Second)
		must(err)
		check(msg.Subject == fmt.Sprintf("greet.%d", n) && string(msg.Data) == fmt.Sprint(n), "%s %s", msg.Subject, msg.Data)
	}
	must(sub.Unsubscribe())
	ok("publish and subscribe")

	var counts [3]atomic.Int64
	total := func() int64 { return counts[0].Load() + counts[1].Load() + counts[2].Load() }
	for n := range counts {
		_, err := nc.QueueSubscribe("work", "workers", func(*nats.Msg) { counts[n].Add(1) })
		must(err)
	}
	for range 300 {
		must(nc.Publish("work", []byte("job")))
	}
	must(nc.Flush())
	for end := time.Now().Add(5 * time.Second); total() < 300 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	check(total() == 300, "%d of 300 jobs", total())
	for n := range counts {
		check(counts[n].Load() > 0, "member %d got none", n)
	}
	ok("queue groups")

	_, err = nc.Subscribe("double", func(msg *nats.Msg) { _ = msg.Respond(append(msg.Data, msg.Data...)) })
	must(err)
	reply, err := nc.Request("double", []byte("ab"), 5*time.Second)
	must(err)
	check(string(reply.Data) == "abab", "%s", reply.Data)
	ok("request and reply")
	_, err = nc.Request("nobody.there", nil, 5*time.Second)
	check(errors.Is(err, nats.ErrNoResponders), "%v", err)
	ok("no responders")

	sub, err = nc.SubscribeSync("headers")
	must(err)
	sent := nats.NewMsg("headers")
	sent.Header.Set("One", "1")
	sent.Header.Add("Two", "zwei")
	sent.Header.Add("Two", "drei")
	sent.Data = []byte("body")
	must(nc.PublishMsg(sent))
	msg, err := sub.NextMsg(5 * time.Second)
	must(err)
	check(msg.Header.Get("One") == "1" && len(msg.Header.Values("Two")) == 2 && string(msg.Data) == "body", "%v", msg)
	ok("headers")
}

func drain(url string) {
	other := connect(url)
	defer other.Close()
	closed := make(chan struct{})
	nc := connect(url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	var seen atomic.Int64
	_, err := nc.Subscribe("drain", func(*nats.Msg) {
		time.Sleep(time.Millisecond)
		seen.Add(1)
	})
	must(err)
	must(nc.Flush())
	for range 200 {
		must(other.Publish("drain", nil))
	}
	must(other.Flush())
	must(nc.Flush())
	must(nc.Drain())
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		fail("drain did not end")
	}
	check(seen.Load() == 200, "%d of 200", seen.Load())
	ok("drain")
}

func reconnect(s *server) {
	back := make(chan struct{}, 1)
	nc := connect(s.url, nats.ReconnectWait(50*time.Millisecond), nats.MaxReconnects(-1),
		nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	defer nc.Close()
	sub, err := nc.SubscribeSync("again")
	must(err)
	must(nc.Flush())
	s.stop()
	s.start()
	select {
	case <-back:
	case <-time.After(10 * time.Second):
		fail("no reconnect")
	}
	must(nc.Publish("again", []byte("here")))
	msg, err := sub.NextMsg(5 * time.Second)
	must(err)
	check(string(msg.Data) == "here", "%s", msg.Data)
	ok("reconnect")
}

func main() {
	s := newServer("open")
	messages(s.url)
	drain(s.url)
	reconnect(s)
	s.stop()
	authentication()
	tls()
}
