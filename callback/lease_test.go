package callback_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// A subscriber that is silent is forgotten when its connection is given up, 15 s after its last
// byte, also if nothing is published. This takes real time: yamux' timers cannot enter a bubble.
func TestSilentSubscriberIsForgottenInBoundedTime(t *testing.T) {
	if os.Getenv("RMI_LONG") == "" {
		t.Skip("takes 15 s: set RMI_LONG=1")
	}
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported[int](t, owner, user, nil)
	collect(t, src, nil)
	net.Partition(owner, user)
	if topic.Len() != 1 {
		t.Fatal(topic.Len())
	}
	waitFor(t, "it is forgotten", func() bool { return topic.Len() == 0 && callback.Links(topic) == 0 })
}

func TestKeepFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := rmi.NewNode(nil)
		defer node.Close()
		topic, err := callback.NewTopic[int](node, &callback.TopicOptions[int]{KeepFor: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, topic, 1)
		<-time.After(40 * time.Second)
		publish(t, topic, 2)
		for _, want := range []int{2, 1, 0} {
			events, err := topic.Read(t.Context(), 0, "", 0)
			if err != nil || len(events) != want {
				t.Errorf("%d are kept, want %d", len(events), want)
			}
			<-time.After(35 * time.Second)
		}
	})
}
