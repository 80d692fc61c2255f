// The HiveMQ client against the broker at 127.0.0.1:$MQTT_PORT, in version 4 (3.1.1) or 5, which is the first argument.
// Prints a line for each thing that works, ends with an error at the first that does not.

import com.hivemq.client.mqtt.MqttClient;
import com.hivemq.client.mqtt.MqttGlobalPublishFilter;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt3.Mqtt3BlockingClient;
import com.hivemq.client.mqtt.mqtt5.Mqtt5BlockingClient;
import com.hivemq.client.mqtt.mqtt5.datatypes.Mqtt5UserProperties;
import com.hivemq.client.mqtt.mqtt5.message.publish.Mqtt5Publish;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;

public class Walk {
    static final int PATIENCE_SECONDS = 30;
    static String version;

    static String topic(String of) {
        return "java" + version + "/" + of;
    }

    static void check(boolean is, String what) {
        if (!is) {
            throw new AssertionError(what);
        }
    }

    static void ok(String what) {
        System.out.println("ok " + what);
    }

    record Message(String text, MqttQos qos, boolean retained) {
        Message is(String wanted) {
            check(text.equals(wanted), text + ", not " + wanted);
            return this;
        }
    }

    /** What both versions do. */
    interface Client {
        boolean connect(boolean clean);

        void subscribe(String filter, MqttQos qos);

        void publish(String topic, String text, MqttQos qos, boolean retain);

        Message message() throws InterruptedException;

        void close();
    }

    static String text(byte[] payload) {
        return new String(payload, StandardCharsets.UTF_8);
    }

    static class Old implements Client {
        final Mqtt3BlockingClient client;
        final Mqtt3BlockingClient.Mqtt3Publishes publishes;

        Old(String name, int port) {
            client = MqttClient.builder().useMqttVersion3().identifier(name).serverHost("127.0.0.1").serverPort(port).buildBlocking();
            publishes = client.publishes(MqttGlobalPublishFilter.ALL);
        }

        public boolean connect(boolean clean) {
            return client.connectWith().cleanSession(clean).send().isSessionPresent();
        }

        public void subscribe(String filter, MqttQos qos) {
            client.subscribeWith().topicFilter(filter).qos(qos).send();
        }

        public void publish(String topic, String text, MqttQos qos, boolean retain) {
            client.publishWith().topic(topic).payload(text.getBytes(StandardCharsets.UTF_8)).qos(qos).retain(retain).send();
        }

        public Message message() throws InterruptedException {
            var got = publishes.receive(PATIENCE_SECONDS, TimeUnit.SECONDS).orElseThrow();
            return new Message(text(got.getPayloadAsBytes()), got.getQos(), got.isRetain());
        }

        public void close() {
            client.disconnect();
        }
    }

    static class New implements Client {
        final Mqtt5BlockingClient client;
        final Mqtt5BlockingClient.Mqtt5Publishes publishes;

        New(String name, int port) {
            client = MqttClient.builder().useMqttVersion5().identifier(name).serverHost("127.0.0.1").serverPort(port).buildBlocking();
            publishes = client.publishes(MqttGlobalPublishFilter.ALL);
        }

        public boolean connect(boolean clean) {
            return client.connectWith().cleanStart(clean).sessionExpiryInterval(clean ? 0 : 600).send().isSessionPresent();
        }

        public void subscribe(String filter, MqttQos qos) {
            client.subscribeWith().topicFilter(filter).qos(qos).send();
        }

        public void publish(String topic, String text, MqttQos qos, boolean retain) {
            client.publishWith().topic(topic).payload(text.getBytes(StandardCharsets.UTF_8)).qos(qos).retain(retain).send();
        }

        Mqtt5Publish whole() throws InterruptedException {
            return publishes.receive(PATIENCE_SECONDS, TimeUnit.SECONDS).orElseThrow();
        }

        public Message message() throws InterruptedException {
            var got = whole();
            return new Message(text(got.getPayloadAsBytes()), got.getQos(), got.isRetain());
        }

        public void close() {
            client.disconnect();
        }
    }

    static Client client(String name) {
        int port = Integer.parseInt(System.getenv("MQTT_PORT"));
        String full = "java" + version + name;
        return version.equals("5") ? new New(full, port) : new Old(full, port);
    }

    static Client open(String name) {
        var client = client(name);
        client.connect(true);
        return client;
    }

    public static void main(String[] args) throws Exception {
        version = args[0];
        Client a = open("a"), b = open("b");
        for (var qos : MqttQos.values()) {
            a.subscribe(topic("m/" + qos.getCode() + "/+"), qos);
            for (int at = 0; at < 20; at++) {
                b.publish(topic("m/" + qos.getCode() + "/" + at), "" + at, qos, false);
            }
            for (int at = 0; at < 20; at++) {
                var got = a.message().is("" + at);
                check(got.qos == qos && !got.retained, "" + got);
            }
        }
        ok("messages of QoS 0, 1 and 2");

        b.publish(topic("r"), "kept", MqttQos.AT_LEAST_ONCE, true);
        a.subscribe(topic("r"), MqttQos.AT_LEAST_ONCE);
        check(a.message().is("kept").retained, "is not marked as retained");
        b.publish(topic("r"), "", MqttQos.AT_LEAST_ONCE, true);
        a.message().is("");
        ok("retained messages");

        var s = client("s");
        check(!s.connect(false), "a session is there");
        s.subscribe(topic("s"), MqttQos.AT_LEAST_ONCE);
        s.close();
        for (int at = 0; at < 10; at++) {
            b.publish(topic("s"), "" + at, MqttQos.AT_LEAST_ONCE, false);
        }
        s = client("s");
        check(s.connect(false), "the session is gone");
        for (int at = 0; at < 10; at++) {
            s.message().is("" + at);
        }
        s.close();
        open("s").close();
        ok("a session goes on");

        if (a instanceof New heard && b instanceof New speaks) {
            a.subscribe(topic("p"), MqttQos.AT_LEAST_ONCE);
            var properties = Mqtt5UserProperties.builder().add("color", "red").build();
            speaks.client.publishWith().topic(topic("p")).qos(MqttQos.AT_LEAST_ONCE).contentType("text/plain").responseTopic(topic("answers"))
                .correlationData("17".getBytes(StandardCharsets.UTF_8)).userProperties(properties).payload("text".getBytes(StandardCharsets.UTF_8)).send();
            var got = heard.whole();
            check(got.getContentType().orElseThrow().toString().equals("text/plain"), "" + got);
            check(got.getResponseTopic().orElseThrow().toString().equals(topic("answers")), "" + got);
            check(StandardCharsets.UTF_8.decode(got.getCorrelationData().orElseThrow()).toString().equals("17"), "" + got);
            check(got.getUserProperties().equals(properties), "" + got);
            ok("properties");
        }
        a.close();
        b.close();
        // The threads of the library live on.
        System.exit(0);
    }
}
