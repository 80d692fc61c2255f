// paho.mqtt.golang (3.1 and 3.1.1) and paho.golang (5) against the broker at 127.0.0.1:$MQTT_PORT, in the version of the first argument: 3, 4 or 5.
// Prints a line for each thing that works, ends with an error at the first that does not.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	v5 "github.com/eclipse/paho.golang/paho"
	v3 "github.com/eclipse/paho.mqtt.golang"
)

const patience = 30 * time.Second

type message struct {
	topic, text string
	qos         byte
	retained    bool
}

// What both libraries do.
type client interface {
	subscribe(filter string, qos byte)
	publish(topic, text string, qos byte, retain bool)
	messages() chan message
	close()
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}

func check(is bool, format string, of ...any) {
	if !is {
		must(fmt.Errorf(format, of...))
	}
}

func next(of client, text string) message {
	select {
	case got := <-of.messages():
		check(got.text == text, "%s: %q, not %q", got.topic, got.text, text)
		return got
	case <-time.After(patience):
		must(fmt.Errorf("no message %q", text))
	}
	panic("unreachable")
}

type old struct {
	client v3.Client
	got    chan message
}

func connectOld(name string, version uint, clean bool) client {
	it := &old{got: make(chan message, 1000)}
	options := v3.NewClientOptions().AddBroker("tcp://" + address()).SetClientID(name).SetProtocolVersion(version).SetCleanSession(clean).SetAutoReconnect(false)
	options.SetDefaultPublishHandler(func(_ v3.Client, m v3.Message) {
		it.got <- message{m.Topic(), string(m.Payload()), m.Qos(), m.Retained()}
	})
	it.client = v3.NewClient(options)
	done(it.client.Connect())
	return it
}

func done(token v3.Token) {
	check(token.WaitTimeout(patience), "no answer")
	must(token.Error())
}

func (it *old) subscribe(filter string, qos byte) { done(it.client.Subscribe(filter, qos, nil)) }
func (it *old) publish(topic, text string, qos byte, retain bool) {
	done(it.client.Publish(topic, qos, retain, text))
}
func (it *old) messages() chan message { return it.got }
func (it *old) close()                 { it.client.Disconnect(250) }

type new5 struct {
	client *v5.Client
	got    chan message
	full   chan *v5.Publish
}

func connectNew(name string, clean bool) *new5 {
	conn, err := net.DialTimeout("tcp", address(), patience)
	must(err)
	it := &new5{got: make(chan message, 1000), full: make(chan *v5.Publish, 1000)}
	it.client = v5.NewClient(v5.ClientConfig{Conn: conn, OnPublishReceived: []func(v5.PublishReceived) (bool, error){
		func(got v5.PublishReceived) (bool, error) {
			p := got.Packet
			it.full <- p
			it.got <- message{p.Topic, string(p.Payload), p.QoS, p.Retain}
			return true, nil
		}}})
	expiry := uint32(0)
	if !clean {
		expiry = 600
	}
	ctx, cancel := soon()
	defer cancel()
	ack, err := it.client.Connect(ctx, &v5.Connect{ClientID: name, CleanStart: clean, KeepAlive: 60, Properties: &v5.ConnectProperties{SessionExpiryInterval: &expiry}})
	must(err)
	check(ack.ReasonCode == 0, "CONNACK %d", ack.ReasonCode)
	return it
}

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (it *new5) subscribe(filter string, qos byte) {
	ctx, cancel := soon()
	defer cancel()
	_, err := it.client.Subscribe(ctx, &v5.Subscribe{Subscriptions: []v5.SubscribeOptions{{Topic: filter, QoS: qos}}})
	must(err)
}

func (it *new5) publish(topic, text string, qos byte, retain bool) {
	it.send(&v5.Publish{Topic: topic, Payload: []byte(text), QoS: qos, Retain: retain})
}

func (it *new5) send(publish *v5.Publish) {
	ctx, cancel := soon()
	defer cancel()
	_, err := it.client.Publish(ctx, publish)
	must(err)
}

func (it *new5) messages() chan message { return it.got }
func (it *new5) close()                 { must(it.client.Disconnect(&v5.Disconnect{})) }

func address() string { return "127.0.0.1:" + os.Getenv("MQTT_PORT") }

func main() {
	version, err := strconv.Atoi(os.Args[1])
	must(err)
	mark := fmt.Sprintf("go%d", version)
	topic := func(of string) string { return mark + "/" + of }
	connect := func(name string, clean bool) client {
		if version == 5 {
			return connectNew(mark+name, clean)
		}
		return connectOld(mark+name, uint(version), clean)
	}

	a, b := connect("a", true), connect("b", true)
	for qos := byte(0); qos <= 2; qos++ {
		filter := topic(fmt.Sprintf("m/%d/+", qos))
		a.subscribe(filter, qos)
		for at := range 20 {
			b.publish(topic(fmt.Sprintf("m/%d/%d", qos, at)), strconv.Itoa(at), qos, false)
		}
		for at := range 20 {
			got := next(a, strconv.Itoa(at))
			check(got.qos == qos && !got.retained, "QoS %d", got.qos)
		}
	}
	fmt.Println("ok messages of QoS 0, 1 and 2")

	b.publish(topic("r"), "kept", 1, true)
	a.subscribe(topic("r"), 1)
	check(next(a, "kept").retained, "is not marked as retained")
	b.publish(topic("r"), "", 1, true)
	next(a, "")
	a.close()
	fmt.Println("ok retained messages")

	s := connect("s", false)
	s.subscribe(topic("s"), 1)
	s.close()
	for at := range 10 {
		b.publish(topic("s"), strconv.Itoa(at), 1, false)
	}
	s = connect("s", false)
	for at := range 10 {
		next(s, strconv.Itoa(at))
	}
	s.close()
	connect("s", true).close()
	fmt.Println("ok a session goes on")

	if version == 5 {
		c, d := connectNew(mark+"c", true), connectNew(mark+"d", true)
		c.subscribe(topic("p"), 1)
		d.send(&v5.Publish{Topic: topic("p"), Payload: []byte("text"), QoS: 1, Properties: &v5.PublishProperties{
			ContentType: "text/plain", ResponseTopic: topic("answers"), CorrelationData: []byte("17"), User: v5.UserProperties{{Key: "color", Value: "red"}}}})
		next(c, "text")
		got := (<-c.full).Properties
		check(got.ContentType == "text/plain" && got.ResponseTopic == topic("answers") && string(got.CorrelationData) == "17", "%v", got)
		check(got.User.Get("color") == "red", "%v", got.User)
		c.close()
		d.close()
		fmt.Println("ok properties")
	}
	b.close()
}
