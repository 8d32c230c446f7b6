package rmi_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/metadata"
	"gormi/rmi/rmitest"
)

// pairs is a short way to write metadata.
type pairs = map[string]string

func checkPairs(t *testing.T, what string, got, want pairs) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: %.200v, want %.200v", what, got, want)
	}
}

func TestMetadataGoesWithACallAndBack(t *testing.T) {
	overCarriers(t, metadataGoesWithACallAndBack)
}

func metadataGoesWithACallAndBack(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	var got pairs
	refuse := false
	answer := func(ctx context.Context) error {
		got = metadata.From(ctx)
		if err := errors.Join(metadata.SetReply(ctx, "version", "6"), metadata.SetReply(ctx, "version", "7"), metadata.SetReply(ctx, "empty", "")); err != nil {
			t.Error(err)
		}
		if refuse {
			return errPoor
		}
		return nil
	}
	w := hire(t, owner, caller, &worker{
		do:    func(ctx context.Context, n int64) (int64, error) { return n, answer(ctx) },
		bytes: func(ctx context.Context, b []byte) ([]byte, error) { return b, answer(ctx) },
	})
	ctx := within(t)
	if v, ok := metadata.Get(ctx, "tenant"); ok || metadata.From(ctx) != nil {
		t.Errorf("a context of no call has %q", v)
	}
	ctx = metadata.With(metadata.With(metadata.With(ctx, "tenant", "red"), "tenant", "blue"), "id", "\x00\xff")
	ctx, reply := metadata.WithReply(ctx)
	back := pairs{"version": "7", "empty": ""}
	for _, refused := range []bool{false, true} {
		refuse = refused
		if _, err := w.Do(ctx, 1); (err != nil) != refused {
			t.Error(err)
		}
		checkPairs(t, "the call", got, pairs{"tenant": "blue", "id": "\x00\xff"})
		checkPairs(t, "the reply", reply.All(), back)
	}
	refuse = false
	large, all := metadata.WithReply(ctx)
	if b, err := w.Bytes(large, make([]byte, 1<<20)); len(b) != 1<<20 || err != nil {
		t.Error(len(b), err)
	}
	checkPairs(t, "a call in fragments", got, pairs{"tenant": "blue", "id": "\x00\xff"})
	checkPairs(t, "its reply", all.All(), back)
	checkPairs(t, "its reply, in the context around it", reply.All(), back)
	if v, ok := all.Get("version"); v != "7" || !ok {
		t.Errorf("%q, %v", v, ok)
	}

	if _, err := w.Do(metadata.Without(ctx), 1); err != nil {
		t.Error(err)
	}
	checkPairs(t, "a call without", got, pairs{})
	out, err := metadata.Outgoing(ctx)
	checkPairs(t, "outgoing", out, pairs{"tenant": "blue", "id": "\x00\xff"})
	if err != nil {
		t.Error(err)
	}
}

// What comes again after a cut has the metadata that it had, both ways.
func TestMetadataOutlivesAConnection(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		owner, caller := network.Node(), network.Client()
		began, goOn := make(chan struct{}), make(chan struct{})
		w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
			close(began)
			<-goOn
			v, _ := metadata.Get(ctx, "tenant")
			return n, metadata.SetReply(ctx, "of", v)
		}})
		ctx, reply := metadata.WithReply(metadata.With(within(t), "tenant", "blue"))
		done := make(chan error, 1)
		go func() {
			_, err := w.Do(ctx, 1)
			done <- err
		}()
		<-began
		network.Cut(owner, caller)
		close(goOn)
		if err := <-done; err != nil {
			t.Error(err)
		}
		checkPairs(t, "the reply", reply.All(), pairs{"of": "blue"})
	})
}

// A calls B, which calls A back: only what is marked goes on, and on.
func TestMetadataIsPassedOnOnlyIfMarked(t *testing.T) {
	network := rmitest.New(t)
	server, client := network.Node(), network.Client()
	var seen []pairs
	w := hire(t, server, client, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		seen = append(seen, metadata.From(ctx))
		if n > 0 {
			return f(ctx, n)
		}
		_, err := f(metadata.With(ctx, "trace", "mine"), n)
		if _, bare := f(metadata.Without(ctx), n); bare != nil {
			return 0, bare
		}
		return 0, err
	}})
	back := func(ctx context.Context, n int64) (int64, error) {
		seen = append(seen, metadata.From(ctx))
		return n, nil
	}
	ctx := metadata.WithPassedOn(metadata.With(within(t), "token", "secret"), "trace", "42")
	var deeper func(ctx context.Context, n int64) (int64, error)
	deeper = func(ctx context.Context, n int64) (int64, error) {
		seen = append(seen, metadata.From(ctx))
		if n == 0 {
			return n, nil
		}
		return w.Apply(ctx, deeper, n-1) // a chain of calls: each is nested in the one before
	}
	if _, err := w.Apply(ctx, back, 0); err != nil {
		t.Fatal(err)
	}
	for i, want := range []pairs{{"token": "secret", "trace": "42"}, {"trace": "mine"}, {}} {
		checkPairs(t, "call "+string(rune('0'+i)), seen[i], want)
	}
	seen = nil
	if _, err := w.Apply(ctx, deeper, 1); err != nil {
		t.Fatal(err)
	}
	for i, want := range []pairs{{"token": "secret", "trace": "42"}, {"trace": "42"}, {"trace": "42"}, {"trace": "mine"}, {}} {
		checkPairs(t, "call "+string(rune('0'+i))+" of the chain", seen[i], want)
	}
}

// What is passed on counts with what the method adds: together they are bounded.
func TestMetadataThatIsPassedOnIsBoundedToo(t *testing.T) {
	network := rmitest.New(t)
	server, client := network.Node(), network.Client()
	half := strings.Repeat("v", 5000)
	w := hire(t, server, client, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		_, err := f(metadata.With(ctx, "b", half), n)
		expect{rmi.KindTooLarge, rmi.OutcomeNotExecuted, nil}.check(t, err)
		return f(metadata.With(ctx, "a", half), n) // takes the place of the other
	}})
	if _, err := w.Apply(metadata.WithPassedOn(within(t), "a", half), func(context.Context, int64) (int64, error) { return 0, nil }, 1); err != nil {
		t.Error(err)
	}
}

func TestMetadataThatBreaksARule(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	ran := 0
	w := hire(t, owner, caller, &worker{
		do: func(ctx context.Context, n int64) (int64, error) { ran++; return n, nil },
		bytes: func(ctx context.Context, b []byte) ([]byte, error) {
			if err := metadata.SetReply(ctx, "first", "stays"); err != nil {
				t.Error(err)
			}
			return b, metadata.SetReply(ctx, string(b[:1]), string(b[1:]))
		},
	})
	most := metadata.MaxSize - 4 - 1 // for one pair with a key of one byte
	for _, c := range []struct {
		key, value string
		kind       rmi.Kind
		want       string
	}{
		{"", "v", rmi.KindInvalid, `the metadata key "" is empty`},
		{"a\xff", "v", rmi.KindInvalid, "is not UTF-8"},
		{"a\n", "v", rmi.KindInvalid, "has a control character"},
		{strings.Repeat("k", 256), "v", rmi.KindInvalid, "is longer than 255 bytes"},
		{"k", strings.Repeat("v", most+1), rmi.KindTooLarge, "carries 8128 at most"},
	} {
		ctx := metadata.With(metadata.With(within(t), c.key, c.value), "another", "pair")
		_, err := w.Do(ctx, 1)
		if expect := (expect{c.kind, rmi.OutcomeNotExecuted, nil}); !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.key, err)
		} else {
			expect.check(t, err)
		}
		if _, same := metadata.Outgoing(ctx); same == nil || !strings.Contains(err.Error(), strings.TrimPrefix(same.Error(), "rmi: ")) {
			t.Errorf("outgoing: %v", same)
		}
	}
	if ran != 0 {
		t.Errorf("%d calls ran", ran)
	}
	ctx, reply := metadata.WithReply(metadata.With(within(t), "k", strings.Repeat("v", most)))
	if _, err := w.Do(ctx, 1); err != nil {
		t.Errorf("as much as may be: %v", err)
	}
	checkPairs(t, "a reply without", reply.All(), pairs{})

	// The method hears of what it may not send back, and what it set before goes.
	for _, bad := range []string{"\nv", "k" + strings.Repeat("v", most-len("first")-len("stays")-4+1)} {
		_, err := w.Bytes(ctx, []byte(bad))
		var f *rmi.Error
		if !errors.As(err, &f) || f.Kind != rmi.KindApplication || !strings.Contains(err.Error(), "metadata") {
			t.Errorf("%.10q: %v", bad, err)
		}
		checkPairs(t, "a reply", reply.All(), pairs{"first": "stays"})
	}
	full := strings.Repeat("v", most-len("first")-len("stays")-4)
	if _, err := w.Bytes(ctx, []byte("k"+full)); err != nil {
		t.Error(err)
	}
	checkPairs(t, "a full reply", reply.All(), pairs{"first": "stays", "k": full})
	if err := metadata.SetReply(ctx, "k", "v"); rmi.KindOf(err) != rmi.KindInvalid {
		t.Errorf("of no call: %v", err)
	}
}

// A method that has returned gives its reply nothing any more.
func TestMetadataAfterTheReply(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	contexts := make(chan context.Context, 1)
	w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		contexts <- context.WithoutCancel(ctx)
		return n, nil
	}})
	if _, err := w.Do(metadata.With(within(t), "tenant", "blue"), 1); err != nil {
		t.Fatal(err)
	}
	ctx := <-contexts
	if err := metadata.SetReply(ctx, "late", "v"); rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "answered already") {
		t.Error(err)
	}
	checkPairs(t, "what came, later", metadata.From(ctx), pairs{"tenant": "blue"})
}

// Calls by name and one-way calls carry metadata too. Nothing comes back from a one-way call.
func TestMetadataOfCallsByNameAndOneWayCalls(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	got := make(chan pairs, 1)
	tell := func(ctx context.Context, n int64) error {
		got <- metadata.From(ctx)
		return metadata.SetReply(ctx, "back", "1")
	}
	r := export(t, owner, tell, &rmi.ExportOptions{Methods: map[string]rmi.Semantics{"Call": {OneWay: true}}})
	ctx, reply := metadata.WithReply(metadata.With(within(t), "tenant", "blue"))
	if err := resolve[func(context.Context, int64) error](t, caller, r)(ctx, 1); err != nil {
		t.Fatal(err)
	}
	checkPairs(t, "one-way", <-got, pairs{"tenant": "blue"})
	checkPairs(t, "back from it", reply.All(), pairs{})
	if _, err := caller.Invoke(ctx, r, "Call", 1); err != nil {
		t.Fatal(err)
	}
	checkPairs(t, "by name", <-got, pairs{"tenant": "blue"})
	checkPairs(t, "back from it", reply.All(), pairs{"back": "1"})
	if _, err := caller.Invoke(metadata.With(ctx, "", ""), r, "Call", 1); rmi.KindOf(err) != rmi.KindInvalid {
		t.Error(err)
	}
}

// A relay passes metadata on as it is, both ways.
func TestMetadataThroughARelay(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		middle, owner, third := network.Node(), network.Client(), network.Client()
		r := export[Worker](t, middle, meetingPoint(), nil)
		var got pairs
		guest := &worker{do: func(ctx context.Context, n int64) (int64, error) {
			got = metadata.From(ctx)
			if n < 0 {
				return 0, errors.Join(metadata.SetReply(ctx, "version", "8"), errPoor)
			}
			return n, metadata.SetReply(ctx, "version", "7")
		}}
		ctx := within(t)
		if _, err := resolve[Worker](t, owner, r).Meet(ctx, guest); err != nil {
			t.Fatal(err)
		}
		w, err := resolve[Worker](t, third, r).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		full := strings.Repeat("v", metadata.MaxSize-4-1)
		ctx, reply := metadata.WithReply(metadata.With(ctx, "k", full))
		if _, err := w.Do(ctx, 1); err != nil {
			t.Error(err)
		}
		checkPairs(t, "the call", got, pairs{"k": full})
		checkPairs(t, "the reply", reply.All(), pairs{"version": "7"})
		if _, err := w.Do(ctx, -1); !errors.Is(err, errPoor) {
			t.Error(err)
		}
		checkPairs(t, "the reply that is an error", reply.All(), pairs{"version": "8"})
	})
}

// Who is asked where an object is now does not get what is for the object.
func TestMetadataIsNotForWhoTellsWhereAnObjectIs(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	first, err := rmi.Export[Worker](owner, &worker{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got pairs
	second := export[Worker](t, owner, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		got = metadata.From(ctx)
		return n, nil
	}}, nil)
	var asked pairs
	w, err := rmi.ResolveWith[Worker](caller, first.Ref(), nil, func(ctx context.Context, _ refs.Ref, _ error) (r refs.Ref, err error) {
		asked, err = metadata.Outgoing(ctx)
		return second, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Revoke(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Do(metadata.With(within(t), "token", "secret"), 1); err != nil {
		t.Fatal(err)
	}
	checkPairs(t, "the one who is asked", asked, pairs{})
	checkPairs(t, "the object", got, pairs{"token": "secret"})
}

// Replies that are small but for their metadata are acknowledged like large ones, so the limit on
// kept replies does not stop their caller.
func TestRepliesWithMuchMetadataAreAcknowledged(t *testing.T) {
	synctest.Test(t, repliesWithMuchMetadataAreAcknowledged)
}

func repliesWithMuchMetadataAreAcknowledged(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.NodeWith(&rmi.Options{Limits: rmi.Limits{Retained: 64 << 10}}), network.Client()
	const callers = 32
	arrived, goOn := make(chan struct{}, callers), make(chan struct{})
	w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		if n == 0 {
			return 0, nil
		}
		arrived <- struct{}{}
		<-goOn
		return n, metadata.SetReply(ctx, "k", strings.Repeat("v", 8000))
	}})
	done := make(chan error, callers)
	for range callers {
		go func() {
			_, err := w.Do(within(t), 1)
			done <- err
		}()
	}
	for range callers {
		<-arrived
	}
	close(goOn)
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if kept := owner.Stats().RetainedBytes; kept > callers*9000 {
		t.Errorf("%d bytes are kept", kept)
	}
	<-time.After(time.Second) // the caller says within a tick that it has them
	if kept := owner.Stats().RetainedBytes; kept > 32<<10 {
		t.Errorf("%d bytes are kept", kept)
	}
	if _, err := w.Do(within(t), 0); err != nil {
		t.Fatal(err)
	}
}
