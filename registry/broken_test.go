package registry_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// fake is a registry that does what a test says; what it does not say panics.
type fake struct {
	registry.Registry
	acquire func(claims []registry.Claim) ([]registry.Grant, error)
	renew   func(held []registry.Held) ([]registry.Lost, error)
	release func(held []registry.Held) ([]registry.Lost, error)
	lookup  registry.Entry
	list    func(after string) registry.Page
}

func (f *fake) Acquire(_ context.Context, claims []registry.Claim) ([]registry.Grant, error) {
	return f.acquire(claims)
}
func (f *fake) Renew(_ context.Context, held []registry.Held) ([]registry.Lost, error) {
	return f.renew(held)
}
func (f *fake) Release(_ context.Context, held []registry.Held) ([]registry.Lost, error) {
	return f.release(held)
}
func (f *fake) Lookup(context.Context, string) (registry.Entry, error) { return f.lookup, nil }
func (f *fake) List(_ context.Context, _, after string, _ int) (registry.Page, error) {
	return f.list(after), nil
}

// serve returns the URL of the name "a" in f.
func (f *fake) serve(t *testing.T) string {
	n := listening(t, "127.0.0.1:0", nil)
	f.serveOn(t, n)
	return registry.URL{Endpoint: n.Endpoint(), Name: "a"}.String()
}

func (f *fake) serveOn(t *testing.T, n *rmi.Node) {
	if _, err := rmi.Export[registry.Registry](n, f, &rmi.ExportOptions{Number: refs.RegistryObject}); err != nil {
		t.Fatal(err)
	}
}

func TestANodeThatClosesWhileItBindsUnbinds(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	var released []registry.Held
	f := &fake{
		acquire: func([]registry.Claim) ([]registry.Grant, error) {
			close(entered)
			<-proceed
			return []registry.Grant{{Revision: 7, Lease: time.Minute}}, nil
		},
		release: func(held []registry.Held) ([]registry.Lost, error) { released = held; return nil, nil },
	}
	url := f.serve(t)
	owner := listening(t, "127.0.0.1:0", nil)
	bound := make(chan error, 1)
	go func() { // ends when proceed is closed
		_, err := registry.Bind[Account](testContext(t), owner, url, &account{}, nil)
		bound <- err
	}()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- owner.Close() }() // waits for the binding, for a second
	close(proceed)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if err := <-bound; err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(released, []registry.Held{{Name: "a", Revision: 7}}) {
		t.Errorf("released %v", released)
	}
}

func TestARegistryThatLies(t *testing.T) {
	ctx := testContext(t)
	n := newNode(t, nil)
	names := func(names ...string) registry.Page {
		p := registry.Page{More: true}
		for _, name := range names {
			p.Names = append(p.Names, registry.NameInfo{Name: name})
		}
		return p
	}
	for what, f := range map[string]*fake{
		"the same page for ever": {list: func(string) registry.Page { return names("a", "b") }},
		"no order":               {list: func(string) registry.Page { return names("b", "a") }},
		"no name":                {list: func(string) registry.Page { return names("\x1b[2J") }},
		"empty name":             {list: func(string) registry.Page { return names("") }},
	} {
		var err error
		var info registry.NameInfo
		count := 0
		for info, err = range registry.List(ctx, n, f.serve(t)) {
			if err == nil && registry.ValidName(info.Name) != nil {
				t.Errorf("%s: the name %q is in the list", what, info.Name)
			}
			if count++; count > 10 {
				break
			}
		}
		if rmi.KindOf(err) != rmi.KindProtocol {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range registry.List(ctx, n, (&fake{list: func(string) registry.Page { return names() }}).serve(t)) {
		t.Errorf("an empty page that promises more: %v", err)
	}

	_, err := registry.Lookup[accountFuncs](ctx, n, new(fake).serve(t), nil)
	wantKind(t, err, rmi.KindProtocol)
	somewhere := refs.Ref{Endpoint: refs.Endpoint{Host: "127.0.0.1", Port: 1}, ID: refs.ID{Node: refs.NodeID{1}, Object: 1 << 40}}
	_, err = registry.Lookup[accountFuncs](ctx, n, (&fake{lookup: registry.Entry{Ref: somewhere, Description: []byte("nonsense")}}).serve(t), nil)
	if err == nil {
		t.Error("a description that cannot be read was taken")
	}
}

func TestARegistryWhoseGrantsMakeNoSense(t *testing.T) {
	for what, grants := range map[string][]registry.Grant{
		"none":        nil,
		"too many":    make([]registry.Grant, 2),
		"empty":       {{}},
		"no lease":    {{Revision: 1}},
		"no revision": {{Lease: time.Minute}},
		"negative":    {{Revision: 1, Lease: -time.Minute}},
	} {
		f := &fake{acquire: func([]registry.Claim) ([]registry.Grant, error) { return grants, nil }}
		_, err := registry.Bind[Account](testContext(t), listening(t, "127.0.0.1:0", nil), f.serve(t), &account{}, nil)
		if rmi.KindOf(err) != rmi.KindProtocol {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A registry whose answers make no sense is asked again, like one that does not answer, and no
// sooner.
func TestARegistryWhoseAnswersToRenewalsMakeNoSense(t *testing.T) {
	for what, lost := range map[string]registry.Lost{
		"index past the end": {Index: 1, Now: 2},
		"negative index":     {Index: -1},
	} {
		t.Run(what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				w.reg.Close()
				var renewed atomic.Int64
				var sense atomic.Bool
				f := &fake{
					acquire: func([]registry.Claim) ([]registry.Grant, error) {
						return []registry.Grant{{Revision: 1, Lease: 1}}, nil // a nanosecond
					},
					renew: func([]registry.Held) ([]registry.Lost, error) {
						renewed.Add(1)
						if sense.Load() {
							return nil, nil
						}
						return []registry.Lost{lost}, nil
					},
					release: func([]registry.Held) ([]registry.Lost, error) { return []registry.Lost{lost}, nil },
				}
				f.serveOn(t, w.node)
				b := w.bind(w.Node(), "a")
				pass(time.Minute)
				if n := renewed.Load(); b.Err() != nil || n < 10 || n > 60*8 {
					t.Errorf("%v, renewed %d times", b.Err(), n)
				}
				sense.Store(true)
				pass(time.Minute)
				if b.Err() != nil {
					t.Error(b.Err())
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What a registry says to a node that is being closed does not end the process.
func TestARegistryWhoseGoodbyeMakesNoSense(t *testing.T) {
	for _, index := range []int{-1, 1, math.MaxInt} {
		f := &fake{
			acquire: func([]registry.Claim) ([]registry.Grant, error) {
				return []registry.Grant{{Revision: 1, Lease: time.Minute}}, nil
			},
			release: func([]registry.Held) ([]registry.Lost, error) {
				return []registry.Lost{{Index: index, Unbound: true}}, nil
			},
		}
		n := listening(t, "127.0.0.1:0", nil)
		b, err := registry.Bind[Account](testContext(t), n, f.serve(t), &account{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("index %d: %v", index, err)
		}
		<-b.Done()
		wantKind(t, b.Err(), rmi.KindClosed)
	}
}

// The holder's name comes from the registry. It is made safe for a terminal.
func TestWhatARegistrySaysIsShownCleanAndShort(t *testing.T) {
	for _, by := range []string{"\x1b[2J", strings.Repeat("x", 10_000), strings.Repeat("\u202e", 10_000)} {
		inTown(t, func(t *testing.T, w *town) {
			w.reg.Close()
			f := &fake{
				acquire: func([]registry.Claim) ([]registry.Grant, error) {
					return []registry.Grant{{Revision: 1, Lease: time.Minute}}, nil
				},
				renew: func([]registry.Held) ([]registry.Lost, error) { return []registry.Lost{{Now: 2, By: by}}, nil },
			}
			f.serveOn(t, w.node)
			b := w.bind(w.Node(), "a")
			<-b.Done()
			text := b.Err().Error()
			if rmi.KindOf(b.Err()) != rmi.KindNotBound || len(text) > 5000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%d bytes: %.300q", len(text), text)
			}
		})
	}
}

// Leases are renewed when a quarter of them is over. After a failure it is tried again every
// second or two, at changing intervals, so that a registry that is there again is found soon and
// not by all nodes at once.
func TestHowOftenLeasesAreRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		lease       time.Duration
		fails       bool
		least, most int64 // in two minutes
	}{
		"default":                 {20 * time.Second, false, 24, 32},
		"longer":                  {10 * time.Minute, false, 24, 32},
		"short":                   {4 * time.Second, false, 115, 155},
		"very short":              {time.Second, false, 460, 620},
		"none answers":            {10 * time.Minute, true, 80, 130},
		"none answers in a short": {4 * time.Second, true, 150, 260},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				w.reg.Close()
				var tried atomic.Int64
				f := &fake{
					acquire: func([]registry.Claim) ([]registry.Grant, error) {
						return []registry.Grant{{Revision: 1, Lease: c.lease}}, nil
					},
					renew: func([]registry.Held) ([]registry.Lost, error) {
						tried.Add(1)
						if c.fails {
							return nil, errors.New("not now")
						}
						return nil, nil
					},
					release: func([]registry.Held) ([]registry.Lost, error) { return nil, nil },
				}
				f.serveOn(t, w.node)
				b := w.bind(w.Node(), "a")
				pass(10 * time.Second) // the first comes at any time within the interval
				begun := tried.Load()
				pass(2 * time.Minute)
				if n := tried.Load() - begun; n < c.least || n > c.most || b.Err() != nil {
					t.Errorf("%d renewals in two minutes, want %d to %d; %v", n, c.least, c.most, b.Err())
				}
			})
		})
	}
}

// A node that was shut down binds nothing any more.
func TestANodeThatWasShutDownBindsNothing(t *testing.T) {
	reg := serving(t)
	n := listening(t, "127.0.0.1:0", nil)
	b, err := registry.Bind[Account](testContext(t), n, reg.URL("a"), &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantKind(t, b.Err(), rmi.KindClosed)
	_, err = registry.Bind[Account](testContext(t), n, reg.URL("b"), &account{}, nil)
	wantKind(t, err, rmi.KindClosed)
	if !strings.Contains(err.Error(), "the node is being closed") {
		t.Error(err)
	}
	if reg.Len() != 0 {
		t.Errorf("%d names are bound", reg.Len())
	}
}
