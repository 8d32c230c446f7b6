package registry_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gormi/refs"
	"gormi/registry"
	"gormi/registry/policy"
	"gormi/rmi"
	"gormi/rmi/rmitest"
	"gormi/rmi/tlsfiles"
)

// guarded is a registry whose peers are of other machines, and have certificates.
type guarded struct {
	t       *testing.T
	network *rmitest.Network
	dir     string
	log     *syncBuffer
	home    *rmi.Node // the registry's
	reg     *registry.Server
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func guard(t *testing.T, o *registry.ServeOptions) *guarded {
	t.Helper()
	g := &guarded{t: t, network: rmitest.New(t), dir: t.TempDir(), log: new(syncBuffer)}
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("node-%d", i+1))
	}
	if err := tlsfiles.Make(g.dir, names...); err != nil {
		t.Fatal(err)
	}
	config := g.certified("registry")
	wants := config.GetConfigForClient
	config.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { // also who has none may come
		c, err := wants(h)
		if c != nil {
			c = c.Clone()
			c.ClientAuth = tls.VerifyClientCertIfGiven
		}
		return c, err
	}
	g.home = g.network.NodeWith(&rmi.Options{TLS: config, Logger: slog.New(slog.NewTextHandler(g.log, nil))})
	var err error
	if g.reg, err = registry.Serve(t.Context(), g.home, o); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guarded) certified(role string) *tls.Config {
	g.t.Helper()
	c, err := tlsfiles.Load(tlsfiles.Files{Cert: filepath.Join(g.dir, role+".pem"), Key: filepath.Join(g.dir, role+"-key.pem"), CA: filepath.Join(g.dir, tlsfiles.AuthorityFile)})
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// node returns a node with the principal spiffe://gormi/ROLE, on this machine or another one. "" is
// an anonymous one.
func (g *guarded) node(role string, far bool) *rmi.Node {
	g.t.Helper()
	config := g.certified("client")
	if role == "" {
		config = config.Clone()
		config.Certificates, config.GetClientCertificate = nil, nil
	} else {
		config = g.certified(role)
	}
	n := g.network.ClientWith(&rmi.Options{TLS: config})
	if far {
		g.network.Far(n)
	}
	return n
}

func (g *guarded) at(n *rmi.Node) registry.Registry {
	g.t.Helper()
	r, err := registry.At(n, g.reg.URL(""))
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

func (g *guarded) bind(n *rmi.Node, name string, o registry.BindOptions) (*registry.Binding, error) {
	o.Relayed = true
	return registry.Bind[Account](testContext(g.t), n, g.reg.URL(name), new(account), &o)
}

func (g *guarded) rebind(n *rmi.Node, name string, o registry.BindOptions) (*registry.Binding, error) {
	o.Relayed = true
	return registry.Rebind[Account](testContext(g.t), n, g.reg.URL(name), new(account), &o)
}

func (g *guarded) list(n *rmi.Node) (names []string, err error) {
	for info, err := range registry.List(testContext(g.t), n, g.reg.URL("")) {
		if err != nil {
			return names, err
		}
		names = append(names, info.Name)
	}
	return names, nil
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// allDenied checks that a node may do nothing, and is told what would help.
func (g *guarded) allDenied(n *rmi.Node, bound, free string) {
	g.t.Helper()
	ctx, r := testContext(g.t), g.at(n)
	for _, name := range []string{bound, free} {
		e := registry.Entry{Ref: refs.Ref{ID: refs.ID{Node: n.ID(), Time: 1, Object: refs.NewObjNum()}, Endpoint: refs.Endpoint{Host: "h", Port: 1}}}
		_, lookup := r.Lookup(ctx, name)
		_, list := r.List(ctx, name, "", 0)
		_, acquire := r.Acquire(ctx, []registry.Claim{{Name: name, Entry: e}})
		_, renew := r.Renew(ctx, []registry.Held{{Name: name, Revision: 1}})
		_, release := r.Release(ctx, []registry.Held{{Name: name, Revision: 1}})
		for what, err := range map[string]error{
			"Bind": r.Bind(ctx, name, e), "Rebind": r.Rebind(ctx, name, e), "Unbind": r.Unbind(ctx, name, refs.Ref{}),
			"Lookup": lookup, "List": list, "Acquire": acquire, "Renew": renew, "Release": release,
		} {
			if rmi.KindOf(err) != rmi.KindDenied || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
				g.t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
}

// Without a policy a stranger does nothing, and a peer of the same machine everything.
func TestAStrangerMayDoNothing(t *testing.T) {
	g := guard(t, nil)
	if b, err := g.bind(g.node("", false), "a", registry.BindOptions{}); err != nil {
		t.Fatal(err)
	} else if _, err := g.rebind(g.node("", false), "a", registry.BindOptions{}); err != nil {
		t.Errorf("a peer of the same machine: %v", err)
	} else {
		<-b.Done()
	}
	stranger := g.node("", true)
	g.allDenied(stranger, "a", "b")
	// What it sends is not even decoded.
	_, err := stranger.Invoke(testContext(t), refs.WellKnown(must[registry.URL](t)(registry.ParseURL(g.reg.URL(""))).Endpoint, refs.RegistryObject), "Lookup", 7)
	wantKind(t, err, rmi.KindDenied)
	_, err = registry.Lookup[Account](testContext(t), stranger, g.reg.URL("a"), nil)
	wantKind(t, err, rmi.KindDenied)
	if !strings.Contains(err.Error(), "Authorize") {
		t.Error(err)
	}
}

// Without a policy those with a principal may bind, and change what they bound themselves.
func TestAPrincipalChangesOnlyItsOwn(t *testing.T) {
	g := guard(t, nil)
	server, client := g.node("server", true), g.node("client", true)
	ctx := testContext(t)
	for _, o := range []registry.BindOptions{{}, {Permanent: true}} {
		name := fmt.Sprintf("permanent-%v", o.Permanent)
		b := must[*registry.Binding](t)(g.bind(server, name, o))
		if _, err := registry.Lookup[Account](ctx, client, g.reg.URL(name), nil); err != nil {
			t.Error(err)
		}
		if names, err := g.list(client); err != nil || !slices.Contains(names, name) {
			t.Error(names, err)
		}
		_, err := g.rebind(client, name, o)
		wantKind(t, err, rmi.KindDenied)
		_, err = g.bind(client, name, o)
		wantKind(t, err, rmi.KindAlreadyBound)
		err = registry.Unbind(ctx, client, g.reg.URL(name))
		wantKind(t, err, rmi.KindDenied)
		if rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Error(rmi.OutcomeOf(err))
		}
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		// Another node of the same principal: the program was started anew.
		again := g.node("server", true)
		must[*registry.Binding](t)(g.rebind(again, name, o))
		if err := registry.Unbind(ctx, server, g.reg.URL(name)); err != nil {
			t.Error(err)
		}
		if g.reg.Len() != 0 {
			t.Errorf("%d names are bound", g.reg.Len())
		}
	}
}

// Leases are the holder's alone, and what a stranger says of a revision proves nothing.
func TestLeasesAreTheHoldersAlone(t *testing.T) {
	for _, all := range []bool{false, true} { // whatever the policy
		o := new(registry.ServeOptions)
		if all {
			o.Policy = must[*policy.Policy](t)(policy.Parse("p", "allow @everyone bind,lookup,list,unbind *"))
		}
		g := guard(t, o)
		ctx := testContext(t)
		holder, stranger := g.node("server", true), g.node("client", true)
		b := must[*registry.Binding](t)(g.bind(holder, "a", registry.BindOptions{}))
		r := g.at(stranger)
		for _, revision := range []registry.Revision{0, 1, 2, b.Revision() - 1, b.Revision(), b.Revision() + 1} {
			held := []registry.Held{{Name: "a", Revision: revision}}
			for what, call := range map[string]func(context.Context, []registry.Held) ([]registry.Lost, error){"Renew": r.Renew, "Release": r.Release} {
				lost, err := call(ctx, held)
				if err != nil || len(lost) != 1 || lost[0].Now != 1 {
					t.Errorf("%s of revision %d: lost %v, %v", what, revision, lost, err)
				}
			}
			if revision == 0 {
				continue
			}
			grants, err := r.Acquire(ctx, []registry.Claim{{Name: "a", Held: revision, Entry: registry.Entry{Ref: b.Ref()}}})
			if err != nil || rmi.KindOf(grants[0].Refused) != rmi.KindAlreadyBound || strings.Contains(fmt.Sprint(grants[0]), fmt.Sprint(uint64(b.Revision()))) {
				t.Errorf("claimed as held under revision %d: %v, %v", revision, grants, err)
			}
		}
		// Another node of the same principal has no lease on it either.
		if lost, err := g.at(g.node("server", true)).Renew(ctx, []registry.Held{{Name: "a", Revision: b.Revision()}}); err != nil || len(lost) != 1 {
			t.Errorf("lost %v, %v", lost, err)
		}
		if b.Err() != nil || g.reg.Len() != 1 {
			t.Errorf("it was lost: %v", b.Err())
		}
		if err := b.Close(); err != nil || g.reg.Len() != 0 {
			t.Errorf("the holder cannot release it: %v", err)
		}
	}
}

// A name whose holder is cut off is taken by a new process of the holder's, and by no stranger.
func TestAStrangerDoesNotTakeTheNameOfWhoIsCutOff(t *testing.T) {
	g := guard(t, nil)
	holder, stranger, again := g.node("server", true), g.node("client", true), g.node("server", true)
	must[*registry.Binding](t)(g.bind(holder, "a", registry.BindOptions{}))
	g.network.Partition(holder, g.home)
	g.network.Cut(holder, g.home)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, err := g.bind(stranger, "a", registry.BindOptions{}); rmi.KindOf(err) != rmi.KindAlreadyBound {
			t.Fatalf("a stranger: %v", err)
		}
		_, err := g.bind(again, "a", registry.BindOptions{})
		if err == nil {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond): // until the registry has noticed the cut
		case <-ctx.Done():
			t.Fatalf("a new process of the holder's: %v", err)
		}
	}
	g.network.Heal(holder, g.home)
}

// Who loses a name is told by whom, and so is the registry's log.
func TestWhoLosesANameIsToldByWhom(t *testing.T) {
	g := guard(t, &registry.ServeOptions{Policy: must[*policy.Policy](t)(policy.Parse("p", `
		allow spiffe://gormi/server bind *
		deny spiffe://gormi/server bind c
		allow spiffe://gormi/client rebind,unbind *`))})
	server, client := g.node("server", true), g.node("client", true)
	short := registry.BindOptions{Lease: time.Second}
	told := func(b *registry.Binding, want ...string) {
		t.Helper()
		select {
		case <-b.Done():
		case <-testContext(t).Done():
			t.Fatal("nobody told")
		}
		wantKind(t, b.Err(), rmi.KindNotBound)
		for _, w := range want {
			if !strings.Contains(b.Err().Error(), w) {
				t.Errorf("told %q, want %q in it", b.Err(), w)
			}
		}
	}
	b := must[*registry.Binding](t)(g.bind(server, "a", short))
	must[*registry.Binding](t)(g.rebind(client, "a", short))
	told(b, "spiffe://gormi/client", "Account", client.ID().Short())
	b = must[*registry.Binding](t)(g.bind(server, "b", short))
	_, err := g.bind(server, "c", short)
	wantKind(t, err, rmi.KindDenied)
	if want := `msg="call denied" audit=true principal=spiffe://gormi/server node=`; !strings.Contains(g.log.String(), want) || !strings.Contains(g.log.String(), "name=c reason=") {
		t.Errorf("the log says\n%s\nwant %s", g.log, want)
	}
	if err := registry.Unbind(testContext(t), client, g.reg.URL("b")); err != nil {
		t.Fatal(err)
	}
	told(b, "unbound by", "spiffe://gormi/client")
	for _, want := range []string{`msg="name taken" audit=true principal=spiffe://gormi/client node=`, `name=a holder="\"spiffe://gormi/server\" (node `, `reason="bound anew"`, `name=b holder="\"spiffe://gormi/server\" (node `, `reason=unbound`} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log says\n%s\nwant %s", g.log, want)
		}
	}
}

// A policy can be replaced. Who may not hold a name any more loses it, and is told why.
func TestAPolicyIsReplaced(t *testing.T) {
	g := guard(t, nil)
	server := g.node("server", true)
	b := must[*registry.Binding](t)(g.bind(server, "a", registry.BindOptions{Lease: time.Second}))
	stays := must[*registry.Binding](t)(g.bind(server, "b", registry.BindOptions{Lease: time.Second}))
	g.reg.SetPolicy(must[*policy.Policy](t)(policy.Parse("p", "allow @known bind *\ndeny spiffe://gormi/server all a\n")))
	select {
	case <-b.Done():
		if rmi.KindOf(b.Err()) != rmi.KindDenied {
			t.Error(b.Err())
		}
	case <-testContext(t).Done():
		t.Fatal("it is held on to")
	}
	if g.reg.Len() != 1 || stays.Err() != nil {
		t.Errorf("%d names are bound, %v", g.reg.Len(), stays.Err())
	}
	// The holder may let go, whatever the policy.
	g.reg.SetPolicy(must[*policy.Policy](t)(policy.Parse("p", "allow @local all *")))
	if err := stays.Close(); err != nil || g.reg.Len() != 0 {
		t.Error(err, g.reg.Len())
	}
	g.allDenied(server, "a", "b")
	g.reg.SetPolicy(nil)
	must[*registry.Binding](t)(g.bind(server, "a", registry.BindOptions{}))
}

// A list has the names that the peer may list, however many others there are.
func TestAListHasWhatMayBeListed(t *testing.T) {
	g := guard(t, &registry.ServeOptions{Policy: must[*policy.Policy](t)(policy.Parse("p", `
		allow @local all *
		allow @known list,lookup bank/*
		deny  @known list,lookup bank/vault
		allow @known list z`))})
	here, client := g.node("server", false), g.node("client", true)
	r := g.at(here)
	e := registry.Entry{Ref: refs.Ref{ID: refs.ID{Node: here.ID(), Time: 1, Object: 7777777}, Endpoint: refs.Endpoint{Host: "h", Port: 1}}}
	for i := range 2500 {
		if err := r.Bind(testContext(t), fmt.Sprintf("hidden/%d", i), e); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bank/alice", "bank/vault", "bank/zoe", "z"} {
		if err := r.Bind(testContext(t), name, e); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := g.list(client); err != nil || !slices.Equal(names, []string{"bank/alice", "bank/zoe", "z"}) {
		t.Errorf("listed %v, %v", names, err)
	}
	// The deny of @known is for it too.
	if names, err := g.list(here); err != nil || len(names) != 2503 {
		t.Errorf("listed %d names, %v", len(names), err)
	}
	// A name that may not be looked up is denied whether it is bound or not.
	_, there := g.at(client).Lookup(testContext(t), "bank/vault")
	_, nowhere := g.at(client).Lookup(testContext(t), "hidden/none")
	var a, b *rmi.Error
	if !errors.As(there, &a) || !errors.As(nowhere, &b) || a.Error() != b.Error() || rmi.KindOf(errors.Unwrap(a)) != rmi.KindDenied && a.Kind != rmi.KindDenied {
		t.Errorf("%v\n%v", there, nowhere)
	}
	if p, err := g.at(client).List(testContext(t), "bank/", "", 1); err != nil || len(p.Names) != 1 || !p.More {
		t.Error(p, err)
	}
}
