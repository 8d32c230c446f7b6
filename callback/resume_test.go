package callback_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// logged is the log of nodes.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
	wake chan struct{}
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) options() *rmi.Options {
	return &rmi.Options{Logger: slog.New(slog.NewTextHandler(l, nil))}
}

// What was reported as lost is neither reported again nor delivered after a cut.
func TestAGapIsToldOnce(t *testing.T) {
	for name, c := range map[string]struct {
		policy callback.Policy
		keep   int
	}{
		"forgotten, at the end": {callback.PolicyDropNewest, 4},
		"kept, at the end":      {callback.PolicyDropNewest, 1 << 20},
		"kept, before events":   {callback.PolicyDropOldest, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			net := rmitest.New(t)
			owner, user := net.Node(), net.Client()
			topic, src := exported(t, owner, user, &callback.TopicOptions[string]{Keep: c.keep})
			sub := collect(t, src, &callback.SubscribeOptions{Policy: c.policy, Queue: 4096})
			net.Partition(owner, user)
			const n = 6000
			text := strings.Repeat("x", 1000)
			for range n {
				publish(t, topic, text)
			}
			net.Heal(owner, user)
			got, missed, gaps := 0, 0, 0
			for got+missed < n {
				if e := sub.next(t); e.Kind != callback.KindGap {
					got++
				} else if missed += int(e.Missed); e.Seq == 0 || int(e.Seq) != got+missed || e.Epoch != topic.Epoch() {
					t.Errorf("after %d events and %d missed: %+v", got, missed, e)
				} else {
					gaps++
				}
			}
			if gaps == 0 {
				t.Fatal("nothing was lost: the test shows nothing")
			}
			net.Cut(owner, user)
			publish(t, topic, "next")
			if e := sub.next(t); e.Value != "next" || e.Seq != n+1 {
				t.Errorf("after a cut: %+v", e)
			}
		})
	}
}

// The same of single events that a subscriber cannot take.
func TestAnEventThatCannotBeTakenIsLostOnce(t *testing.T) {
	net := rmitest.New(t)
	log := new(logged)
	o := log.options()
	o.Limits.Message = 64 << 10
	owner, user := net.Node(), net.ClientWith(o)
	topic, src := exported[picky](t, owner, user, nil)
	sub := collect(t, src, nil)
	publish(t, topic, picky{"one"})
	if e := sub.next(t); e.Value.text != "one" {
		t.Fatal(e)
	}
	for i, bad := range []string{strings.Repeat("x", 100<<10), "bad", "bad again"} {
		publish(t, topic, picky{bad})
		if e := sub.next(t); e.Kind != callback.KindGap || e.Missed != 1 || int(e.Seq) != 2*i+2 {
			t.Errorf("got %+v", e)
		}
		net.Cut(owner, user)
		publish(t, topic, picky{"good"})
		if e := sub.next(t); e.Value.text != "good" || int(e.Seq) != 2*i+3 {
			t.Errorf("got %+v", e)
		}
	}
	if n := strings.Count(log.String(), "could not be decoded"); n != 1 {
		t.Errorf("the log was told %d times", n)
	}
}

// picky is a text that cannot be decoded if it is bad.
type picky struct{ text string }

func (p picky) MarshalBinary() ([]byte, error) { return []byte(p.text), nil }

func (p *picky) UnmarshalBinary(b []byte) error {
	if bytes.HasPrefix(b, []byte("bad")) {
		return errors.New("no")
	}
	p.text = string(b)
	return nil
}

// cutting is a number in 8 KiB, of which the decoder of the test that runs is told.
type cutting int

var decoding atomic.Pointer[func()]

func (c cutting) MarshalBinary() ([]byte, error) {
	return binary.BigEndian.AppendUint64(make([]byte, 8<<10), uint64(c)), nil
}

func (c *cutting) UnmarshalBinary(b []byte) error {
	*c = cutting(binary.BigEndian.Uint64(b[len(b)-8:]))
	if f := decoding.Load(); f != nil {
		(*f)()
	}
	return nil
}

// A replay that takes longer than any connection lives comes to its end.
func TestAReplayGoesOnWhereItWas(t *testing.T) {
	const n, life, enough = 160, 40, 10 // events, events of a connection, cuts
	for _, c := range []struct {
		name  string
		start callback.Start
		keep  int
		first string
	}{
		{"new", callback.StartOldest, n + 10, "published 1"},
		{"new, from a forgotten number", callback.StartFromSeq, n - 10, "gap 10"},
		{"resumed", callback.StartNewest, n + 10, "published 1"},
		{"resumed, with a gap", callback.StartNewest, n - 10, "gap 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			net := rmitest.New(t)
			owner, user := net.Node(), net.Client()
			topic, src := exported(t, owner, user, &callback.TopicOptions[cutting]{Keep: c.keep})
			var cuts, decoded atomic.Int64
			hook := func() {
				if decoded.Add(1)%life == 0 && cuts.Load() < enough {
					cuts.Add(1)
					net.Cut(owner, user)
				}
			}
			var sub *collector[cutting]
			o := &callback.SubscribeOptions{Start: c.start, Seq: 1, Queue: 4}
			if c.start == callback.StartNewest {
				sub = collect(t, src, o)
				net.Partition(owner, user)
				net.Cut(owner, user)
			}
			for i := range n {
				publish(t, topic, cutting(i))
			}
			decoding.Store(&hook)
			defer decoding.Store(nil)
			if sub == nil {
				sub = collect(t, src, o)
			} else {
				net.Heal(owner, user)
			}
			next := callback.Seq(1)
			for next <= n {
				e := sub.next(t)
				if next == 1 && fmt.Sprint(e.Kind, " ", max(e.Missed, 1)) != c.first {
					t.Errorf("first %v of %d, want %s", e.Kind, e.Missed, c.first)
				}
				if e.Epoch != topic.Epoch() || e.Seq != next+callback.Seq(max(e.Missed, 1))-1 || e.Kind == callback.KindPublished && int(e.Value) != int(e.Seq)-1 {
					t.Fatalf("got %v %d (%d missed, epoch %d), want number %d", e.Kind, e.Seq, e.Missed, e.Epoch, next)
				}
				next = e.Seq + 1
			}
			if got := cuts.Load(); got < 3 || got == enough {
				t.Errorf("%d cuts: it should take about %d", got, n/life)
			}
		})
	}
}

// A snapshot that is cut off begins anew, and so does the gap before it: nobody knows what a part
// of a state lacks.
func TestASnapshotThatIsCutBeginsAnew(t *testing.T) {
	const keys = 100
	for _, resumed := range []bool{false, true} {
		t.Run(fmt.Sprintf("resumed=%v", resumed), func(t *testing.T) {
			net := rmitest.New(t)
			owner, user := net.Node(), net.Client()
			topic, src := exported(t, owner, user, &callback.TopicOptions[cutting]{Latest: true, Keep: 5,
				Key: func(c cutting) string { return fmt.Sprint(int(c) % keys) }})
			var sub *collector[cutting]
			o := &callback.SubscribeOptions{Start: callback.StartSnapshot}
			if resumed {
				sub = collect(t, src, o)
				net.Partition(owner, user)
				net.Cut(owner, user)
			}
			for i := range keys {
				publish(t, topic, cutting(i))
			}
			var decoded, cuts atomic.Int64
			hook := func() {
				if decoded.Add(1) == keys/2 {
					cuts.Add(1)
					publish(t, topic, cutting(0)) // what came is not the state any more
					net.Cut(owner, user)
				}
			}
			decoding.Store(&hook)
			defer decoding.Store(nil)
			if resumed {
				net.Heal(owner, user)
				if e := sub.next(t); e.Kind != callback.KindGap || e.Missed == 0 {
					t.Errorf("the first is %v of %d", e.Kind, e.Missed)
				}
			} else {
				sub = collect(t, src, o)
			}
			seen := make(map[string]bool)
			for range keys {
				e := sub.next(t)
				if e.Kind != callback.KindState || seen[e.Key] {
					t.Fatalf("after %d parts of the state: %v %d of key %s", len(seen), e.Kind, e.Seq, e.Key)
				}
				seen[e.Key] = true
			}
			publish(t, topic, cutting(7))
			if e := sub.next(t); e.Kind != callback.KindPublished || e.Seq != topic.Last() {
				t.Errorf("behind the state: %v %d", e.Kind, e.Seq)
			}
			if cuts.Load() != 1 {
				t.Error("nothing was cut")
			}
		})
	}
}

// A loop over a name may begin before anything is bound to it, just as it goes on when its server
// went away.
func TestASourceThatIsNotUpYetIsWaitedFor(t *testing.T) {
	net := rmitest.New(t)
	naming := net.Node()
	at := "rmi://" + naming.Endpoint().String() + "/numbers"
	naming.Close()
	log := &logged{wake: make(chan struct{}, 100)}
	user := net.ClientWith(log.options())

	once := &callback.SubscribeOptions{FailFast: true}
	fails := func(want rmi.Kind) {
		t.Helper()
		for ev, err := range callback.EventsByName[int](bounded(t), user, at, once) {
			if !errors.Is(err, want) || ev.Kind != 0 {
				t.Errorf("with FailFast: %v, %v; want %v", ev.Kind, err, want)
			}
		}
		_, err := callback.SubscribeByName(bounded(t), user, at, func(context.Context, callback.Event[int]) error { return nil }, once)
		if !errors.Is(err, want) {
			t.Errorf("with FailFast: %v, want %v", err, want)
		}
	}
	fails(rmi.KindConnectFailed)

	got := make(chan string, 100)
	ctx, cancel := context.WithCancel(bounded(t))
	go func() { // ends with ctx
		defer close(got)
		for ev, err := range callback.EventsByName[int](ctx, user, at, &callback.SubscribeOptions{Start: callback.StartSnapshot}) {
			if err != nil {
				got <- fmt.Sprint(errors.Is(err, context.Canceled))
				return
			}
			got <- brief(ev)
		}
	}()
	<-log.wake // it waits
	naming = net.Restart(naming, nil)
	if _, err := registry.Serve(ctx, naming, nil); err != nil {
		t.Fatal(err)
	}
	fails(rmi.KindNotBound)
	owner := net.Node()
	topic, err := callback.NewTopic(owner, &callback.TopicOptions[int]{Latest: true})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, topic, 1)
	if _, err := registry.Bind[callback.Source[int]](t.Context(), owner, at, topic, nil); err != nil {
		t.Fatal(err)
	}
	if first := <-got; first != "s1" {
		t.Errorf("the first is %s", first)
	}
	publish(t, topic, 2)
	if next := <-got; next != "2" {
		t.Errorf("the next is %s", next)
	}
	cancel()
	if last := <-got; last != "true" {
		t.Errorf("it did not end with its context's error")
	}
	if n := strings.Count(log.String(), "not up yet"); n != 1 {
		t.Errorf("the log was told %d times:\n%s", n, log)
	}
}

// A loop that waits for a source ends with its context, and says why it waited. An error that
// waiting cannot mend ends it at once.
func TestWaitingForASourceEnds(t *testing.T) {
	net := rmitest.New(t)
	user := net.Client()
	owner := net.Node()
	tries := make(chan struct{}, 100)
	var fault atomic.Pointer[rmi.Error]
	fault.Store(&rmi.Error{Kind: rmi.KindNotBound, Msg: "nobody has it"})
	find := func(context.Context) (callback.Source[int], error) {
		tries <- struct{}{}
		return nil, fault.Load()
	}
	ctx, cancel := context.WithCancelCause(bounded(t))
	ended := make(chan error, 1)
	go func() { // ends with ctx
		for _, err := range callback.EventsFrom(ctx, find, nil) {
			ended <- err
		}
	}()
	for range 3 {
		<-tries
	}
	cancel(nil)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	fault.Store(&rmi.Error{Kind: rmi.KindDenied})
	for _, err := range callback.EventsFrom(bounded(t), find, nil) {
		if !errors.Is(err, rmi.KindDenied) {
			t.Errorf("got %v", err)
		}
	}
	// A name that leads to an object that is gone is waited for too.
	topic, src := exported[int](t, owner, user, nil)
	h, err := rmi.Export[callback.Source[int]](owner, &gone[int]{topic}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := rmi.Resolve[callback.Source[int]](user, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	found := 0
	again := func(context.Context) (callback.Source[int], error) {
		if found++; found < 3 {
			return stale, nil
		}
		return src, nil
	}
	sub, err := callback.SubscribeFrom(t.Context(), again, func(context.Context, callback.Event[int]) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Cancel(t.Context())
	if _, err := callback.SubscribeFrom(t.Context(), func(context.Context) (callback.Source[int], error) { return stale, nil },
		func(context.Context, callback.Event[int]) error { return nil }, &callback.SubscribeOptions{FailFast: true}); !errors.Is(err, rmi.KindNoSuchObject) {
		t.Errorf("with FailFast: %v", err)
	}
}

// A name means what it means to package registry. A name that this refuses fails at once, with the
// same text, and the default registry is the same.
func TestANameIsReadAsTheRegistrysClientReadsIt(t *testing.T) {
	user := rmitest.New(t).Client()
	o := &callback.SubscribeOptions{}
	for _, c := range []struct{ env, name string }{
		{"", "rmi://host:7/"}, {"", "rmi://host:7"}, {"", "http://host/a"}, {"", "rmi:///a"}, {"", "rmi://host:0/a"},
		{"", "rmi+udp://%2Frun%2Frmi.sock/a"}, {"", "a//b"}, {"names.example", "a"}, {"rmi://names.example/a", "a"},
	} {
		t.Setenv(registry.Env, c.env)
		_, want := registry.Lookup[callback.Source[int]](t.Context(), user, c.name, nil)
		if !errors.Is(want, rmi.KindInvalid) {
			t.Fatalf("%q with %q: %v", c.name, c.env, want)
		}
		rounds := 0
		for _, err := range callback.EventsByName[int](bounded(t), user, c.name, o) {
			if rounds++; err == nil || err.Error() != want.Error() {
				t.Errorf("%q with %q: %v, want %v", c.name, c.env, err, want)
			}
		}
		if rounds != 1 {
			t.Errorf("%q with %q: %d rounds", c.name, c.env, rounds)
		}
	}

	net := rmitest.New(t)
	naming, user := net.Node(), net.Client()
	if _, err := registry.Serve(t.Context(), naming, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv(registry.Env, "rmi://"+naming.Endpoint().String())
	topic, err := callback.NewTopic[int](naming, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, topic, 1)
	if _, err := registry.Bind[callback.Source[int]](t.Context(), naming, "numbers", topic, nil); err != nil {
		t.Fatal(err)
	}
	for e, err := range callback.EventsByName[int](bounded(t), user, "numbers", &callback.SubscribeOptions{Start: callback.StartOldest}) {
		if err != nil || e.Value != 1 {
			t.Errorf("got %+v, %v", e, err)
		}
		break
	}
}

// gone is another object than the topic that it is.
type gone[E any] struct{ callback.Source[E] }
