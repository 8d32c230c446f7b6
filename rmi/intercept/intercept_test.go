package intercept_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/intercept"
	"gormi/rmi/metadata"
	"gormi/rmi/rmitest"
)

// Add is the remote function of the tests.
type Add func(ctx context.Context, a, b int64) (int64, error)

var errOdd = errors.New("odd")

func add(_ context.Context, a, b int64) (int64, error) {
	if (a+b)%2 == 1 {
		return 0, fmt.Errorf("%w\nlevel=ERROR msg=forged", errOdd)
	}
	return a + b, nil
}

// through is add behind interceptors, as a caller with others sees it.
func through(t *testing.T, callers, objects []intercept.Interceptor) Add {
	t.Helper()
	network := rmitest.New(t)
	h, err := rmi.Export[Add](network.Node(), add, &rmi.ExportOptions{Interceptors: objects})
	if err != nil {
		t.Fatal(err)
	}
	f, err := rmi.Resolve[Add](network.ClientWith(&rmi.Options{Interceptors: callers}), h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func list(all ...intercept.Interceptor) []intercept.Interceptor { return all }

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was written since.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func TestAccessLog(t *testing.T) {
	var out lines
	log := intercept.AccessLog(slog.New(slog.NewTextHandler(&out, nil)))
	for _, side := range []string{"caller", "object"} {
		callers, objects := list(log), list(nil)[:0]
		if side == "object" {
			callers, objects = objects, callers
		}
		f := through(t, callers, objects)
		for _, c := range []struct {
			b    int64
			want []string
			not  []string
		}{
			{1, []string{"level=INFO", `msg="rmi call"`, "side=" + side, "method=Call", "principal=anonymous", "took=", "object="}, []string{"kind=", "error="}},
			{2, []string{"level=WARN", "kind=Application", "outcome=Executed", `odd\nlevel=ERROR msg=forged`}, nil},
		} {
			_, err := f(t.Context(), 1, c.b)
			if (err != nil) != (c.b == 2) {
				t.Error(err)
			}
			got := out.take()
			if strings.Count(got, "\n") != 1 {
				t.Errorf("%s: not one line: %q", side, got)
			}
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: %s, want %s", side, got, w)
				}
			}
			for _, n := range c.not {
				if strings.Contains(got, n) {
					t.Errorf("%s: %s has %s", side, got, n)
				}
			}
		}
	}
	// A panic further in is logged as a failure.
	f := through(t, list(log, func(context.Context, *intercept.Call, intercept.Handler) error { panic("ouch") }), nil)
	if _, err := f(t.Context(), 1, 1); rmi.KindOf(err) != rmi.KindPanic {
		t.Error(err)
	}
	if got := out.take(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "kind=Panic") {
		t.Error(got)
	}
}

func TestTokens(t *testing.T) {
	for _, c := range []struct {
		name   string
		sent   []intercept.Interceptor
		accept []string
		want   string // "": let in
	}{
		{"right", list(intercept.SendToken("s3cret")), []string{"other", "s3cret", "third"}, ""},
		{"none", nil, []string{"s3cret"}, "carries no bearer token"},
		{"wrong", list(intercept.SendToken("s3cre")), []string{"s3cret"}, "not one that the object accepts"},
		{"longer", list(intercept.SendToken("s3crett")), []string{"s3cret"}, "not one that the object accepts"},
		{"empty", list(intercept.SendToken("")), []string{"", "s3cret"}, "not one that the object accepts"},
		{"nothing is accepted", list(intercept.SendToken("s3cret")), nil, "not one that the object accepts"},
		{"not a bearer token", list(func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
			return next(metadata.With(ctx, intercept.TokenKey, "s3cret"))
		}), []string{"s3cret"}, "not one that the object accepts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := through(t, c.sent, list(intercept.CheckToken(c.accept...)))(t.Context(), 1, 1)
			if c.want == "" {
				if n != 2 || err != nil {
					t.Error(n, err)
				}
				return
			}
			if rmi.KindOf(err) != rmi.KindDenied || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Error(err)
			}
		})
	}
}

// peer is a call from somebody.
func peer(p intercept.Peer) *intercept.Call {
	return intercept.New(intercept.Call{Incoming: true, Method: "Call"}, from{p})
}

type from struct{ peer intercept.Peer }

func (f from) Peer() intercept.Peer  { return f.peer }
func (from) Args() ([]any, error)    { return []any{1}, nil }
func (from) Results() ([]any, error) { return nil, nil }
func went(ctx context.Context) error { return nil }
func node(b byte) (id refs.NodeID)   { id[0] = b; return id }
func refused(err error) bool         { return rmi.KindOf(err) == rmi.KindOverloaded }
func tried(t *testing.T, l intercept.Interceptor, p intercept.Peer, want bool) {
	t.Helper()
	if err := l(t.Context(), peer(p), went); refused(err) != want || !want && err != nil {
		t.Errorf("%+v: %v", p, err)
	}
}

func TestRateLimitIsOfEachPeer(t *testing.T) {
	l := intercept.RateLimit(1e-9, 2)
	for _, who := range [][2]intercept.Peer{
		{{Principal: "alice", Address: "10.0.0.1:1", Node: node(1)}, {Principal: "alice", Address: "10.0.0.2:2", Node: node(2)}},
		{{Principal: "bob", Address: "10.0.0.1:1", Node: node(1)}, {Principal: "bob", Node: node(1)}},
		{{Principal: "anonymous", Address: "10.0.0.1:1", Node: node(1)}, {Principal: "anonymous", Address: "10.0.0.1:99", Node: node(2)}},
		{{Principal: "anonymous", Address: "[fe80::1]:1", Node: node(1)}, {Address: "[fe80::1]:2", Node: node(2)}},
		{{Principal: "anonymous", Address: "", Node: node(1)}, {Principal: "anonymous", Address: "/run/rmi.sock", Node: node(1)}},
	} {
		tried(t, l, who[0], false)
		tried(t, l, who[1], false)
		tried(t, l, who[0], true)
		tried(t, l, who[1], true)
	}
	// Many others do not make it hold more than it may, and the newest keep their limits.
	for i := range 10_000 {
		tried(t, l, intercept.Peer{Principal: fmt.Sprint(i)}, false)
	}
	last := intercept.Peer{Principal: "9999"}
	tried(t, l, last, false)
	tried(t, l, last, true)
}

// A caller that is over the rate gets its call through a little later, by itself.
func TestRateLimitDelaysCallers(t *testing.T) {
	f := through(t, nil, list(intercept.RateLimit(50, 1)))
	for range 3 {
		if n, err := f(t.Context(), 1, 1); n != 2 || err != nil {
			t.Error(n, err)
		}
	}
}

func TestACallOfATest(t *testing.T) {
	c := peer(intercept.Peer{Principal: "alice"})
	args, err := c.Args()
	if c.Peer().Principal != "alice" || len(args) != 1 || err != nil || len(c.Metadata(t.Context())) != 0 {
		t.Error(c, args, err)
	}
	if err := intercept.Refuse(rmi.KindDenied, "not %q", "you"); rmi.KindOf(err) != rmi.KindDenied || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || err.Error() != `rmi: denied: not "you"` {
		t.Error(err)
	}
}
