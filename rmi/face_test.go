package rmi_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/internal/cases"
	"gormi/rmi/rmitest"
)

// listenerFuncs is cases.Listener as a struct of funcs.
type listenerFuncs struct {
	rmi.Proxy
	Heard func(ctx context.Context, text string) (string, error)
}

type heard struct{}

func (heard) Heard(_ context.Context, text string) (string, error) { return text, nil }

// faces are the proxies of each form of one object, and how to call them.
func faces(t *testing.T) (owner, caller *rmi.Node, ref refs.Ref, all map[string]any) {
	network := rmitest.New(t)
	owner, caller = network.Node(), network.Client()
	ref = export[cases.Listener](t, owner, heard{}, nil)
	all = map[string]any{
		"a stub":            resolve[cases.Listener](t, caller, ref),
		"a struct of funcs": resolve[listenerFuncs](t, caller, ref),
	}
	if proxySupported() == nil {
		all["a run-time proxy"] = resolve[plainListener](t, caller, ref)
	}
	return owner, caller, ref, all
}

// plainListener is cases.Listener without a generated stub.
type plainListener interface{ cases.Listener }

func TestProxiesPrintInterfaceAndReference(t *testing.T) {
	_, _, ref, all := faces(t)
	for form, p := range all {
		name := "rmi_test.plainListener"
		switch form {
		case "a stub":
			name = "cases.Listener"
		case "a struct of funcs":
			name = "rmi_test.listenerFuncs"
		}
		want := "proxy of " + name + " at " + ref.String()
		for verb, want := range map[string]string{
			"%v": want, "%+v": want, "%#v": want, "%s": want, "%10s": want, "%q": strconv.Quote(want), "%x": want, "%d": want,
		} {
			if s := fmt.Sprintf(verb, p); s != want {
				t.Errorf("%s: %s printed %q", form, verb, s)
			}
			if s := fmt.Sprintf(verb, []any{struct{ P any }{p}}); !strings.Contains(s, want) {
				t.Errorf("%s: %s of a slice printed %q", form, verb, s)
			}
		}
		if s := p.(fmt.Stringer).String(); s != want {
			t.Errorf("%s: String returned %q", form, s)
		}
		if s := p.(fmt.GoStringer).GoString(); s != want {
			t.Errorf("%s: GoString returned %q", form, s)
		}
		if s := fmt.Sprintf("%v %p", struct{ p any }{p}, p); strings.Contains(s, ref.Object.Hex()) {
			t.Errorf("%s: where package fmt calls no methods, the object number is printed: %s", form, s)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "proxy", p)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "proxy", p)
		if strings.Count(log.String(), `"`+want+`"`) != 2 {
			t.Errorf("%s: logged %s", form, &log)
		}
	}
}

func TestProxiesAreNoData(t *testing.T) {
	_, _, _, all := faces(t)
	for form, p := range all {
		for name, write := range map[string]func() error{
			"JSON":        func() error { _, err := json.Marshal(struct{ P any }{p}); return err },
			"XML":         func() error { return xml.NewEncoder(io.Discard).Encode(p) },
			"gob":         func() error { return gob.NewEncoder(io.Discard).Encode(p) },
			"MessagePack": func() error { _, err := msgpack.Marshal(p); return err },
		} {
			err := write()
			if err == nil || !strings.Contains(err.Error(), "rmi.RefOf") {
				t.Errorf("%s as %s: %v", form, name, err)
			}
		}
	}
}

// The race detector watches.
func TestProxiesArePrintedDuringTheirFirstCall(t *testing.T) {
	_, _, _, all := faces(t)
	for form, p := range all {
		var h func(context.Context, string) (string, error)
		switch p := p.(type) {
		case cases.Listener:
			h = p.Heard
		case listenerFuncs:
			h = p.Heard
		}
		var printing, begun sync.WaitGroup
		begun.Add(1)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%p"} {
			printing.Go(func() {
				begun.Wait()
				for range 100 {
					_ = fmt.Sprintf(verb, p)
					_ = fmt.Sprintf(verb, struct{ p any }{p}) // where package fmt calls no methods
				}
				_, _ = json.Marshal(p)
			})
		}
		begun.Done()
		if s, err := h(within(t), "hello"); s != "hello" || err != nil {
			t.Errorf("%s: %q, %v", form, s, err)
		}
		printing.Wait()
	}
}

// An interface's own methods of such names are called; the rest of the face is there.
type Printer interface {
	Format(ctx context.Context, text string) (string, error)
	String(ctx context.Context) (string, error)
}

type printer struct{}

func (printer) Format(_ context.Context, text string) (string, error) {
	return "formatted " + text, nil
}
func (printer) String(context.Context) (string, error) { return "a string", nil }

func TestAnInterfaceMayHaveMethodsOfTheFacesNames(t *testing.T) {
	if err := proxySupported(); err != nil {
		t.Skip(err)
	}
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	p := resolve[Printer](t, caller, export[Printer](t, owner, printer{}, nil))
	if s, err := p.String(within(t)); s != "a string" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if s, err := p.Format(within(t), "x"); s != "formatted x" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if s := fmt.Sprintf("%#v", p); !strings.Contains(s, "proxy of rmi_test.Printer at") {
		t.Errorf("printed %q", s)
	}
	if _, err := json.Marshal(p); err == nil || !strings.Contains(err.Error(), "rmi.RefOf") {
		t.Errorf("JSON: %v", err)
	}
}

// What a proxy has beside its interface is no part of what it stands for.
func TestTheFaceIsNotRemote(t *testing.T) {
	_, node, ref, _ := faces(t)
	for _, method := range []string{"String", "GoString", "Format", "MarshalJSON", "RMICore"} {
		_, err := node.Invoke(within(t), ref, method)
		expect{rmi.KindNoSuchMethod, rmi.OutcomeNotExecuted, nil}.check(t, err)
	}
}

// A proxy does not pass for a value where one is wanted, and travels by reference in a call by
// name.
func TestAProxyIsNoValueForAnAny(t *testing.T) {
	owner, node, _, all := faces(t)
	at := export[teller](t, owner, tellerServant{}, nil)
	var given func(context.Context, any) (any, error)
	if proxySupported() == nil {
		given = resolve[teller](t, node, at).Any
	} else {
		given = resolve[struct {
			Any func(context.Context, any) (any, error)
		}](t, node, at).Any
	}
	for form, p := range all {
		if out, err := node.Invoke(within(t), at, "Tell", p); err != nil || out[0] != "told" {
			t.Errorf("%s, in a call by name: %v, %v", form, out, err)
		}
		for _, v := range []any{p, []any{p}, map[string]any{"p": p}} {
			if _, err := given(within(t), v); rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "is a proxy") {
				t.Errorf("%s, as %T: %v", form, v, err)
			}
		}
		if _, err := node.Invoke(within(t), at, "Any", []any{p}); rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "is a proxy") {
			t.Errorf("%s, within a value of a call by name: %v", form, err)
		}
	}
}

type teller interface {
	Any(ctx context.Context, v any) (any, error)
	Tell(ctx context.Context, l cases.Listener) (string, error)
}

type tellerServant struct{}

func (tellerServant) Any(_ context.Context, v any) (any, error) { return v, nil }
func (tellerServant) Tell(ctx context.Context, l cases.Listener) (string, error) {
	return l.Heard(ctx, "told")
}

// What takes a proxy knows those of all forms, whichever node made them, and refuses the rest.
func TestWhatTakesAProxyKnowsAllFormsAndNothingElse(t *testing.T) {
	owner, node, _, all := faces(t)
	type f = func(ctx context.Context, text string) (string, error)
	ref := export[f](t, owner, heard{}.Heard, nil)
	all["a func"] = resolve[f](t, node, ref)
	for form, p := range all {
		if r, ok := rmi.RefOf(p); !ok || r.Node != owner.ID() {
			t.Errorf("RefOf %s: %v, %v", form, r, ok)
		}
		if n, ok := rmi.NodeOf(p); !ok || n != node {
			t.Errorf("NodeOf %s: %v, %v", form, n, ok)
		}
		if gone, err := rmi.Gone(p); gone == nil || err != nil {
			t.Errorf("Gone of %s: %v, %v", form, gone, err)
		}
		if err := rmi.Release(p); err != nil {
			t.Errorf("Release of %s: %v", form, err)
		}
	}
	for _, v := range []any{nil, 3, f(heard{}.Heard), listenerFuncs{}} {
		if r, ok := rmi.RefOf(v); ok {
			t.Errorf("RefOf %T: %v", v, r)
		}
		if n, ok := rmi.NodeOf(v); ok {
			t.Errorf("NodeOf %T: %v", v, n)
		}
		if _, err := rmi.Gone(v); rmi.KindOf(err) != rmi.KindInvalid {
			t.Errorf("Gone of %T: %v", v, err)
		}
		if err := rmi.Release(v); rmi.KindOf(err) != rmi.KindInvalid {
			t.Errorf("Release of %T: %v", v, err)
		}
		if _, err := rmi.As[cases.Listener](t.Context(), v); rmi.KindOf(err) != rmi.KindMismatch {
			t.Errorf("As of %T: %v", v, err)
		}
	}
}

func TestAStructOfFuncsWithProxyIsOne(t *testing.T) {
	_, _, ref, all := faces(t)
	p := all["a struct of funcs"].(listenerFuncs)
	if s, err := p.Heard(within(t), "hello"); s != "hello" || err != nil {
		t.Fatalf("%q, %v", s, err)
	}
	if r, ok := rmi.RefOf(p); !ok || r.ID != ref.ID {
		t.Errorf("RefOf tells %v, %v", r, ok)
	}
	if r, ok := rmi.RefOf(&p); !ok || r.ID != ref.ID {
		t.Errorf("RefOf a pointer tells %v, %v", r, ok)
	}
	l, err := rmi.As[cases.Listener](within(t), p)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := l.Heard(within(t), "again"); s != "again" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if _, err := rmi.Gone(p); err != nil {
		t.Error("Gone knows it not")
	}
	if s := fmt.Sprint(listenerFuncs{}); s != "proxy of nothing" {
		t.Errorf("one that no node made printed %q", s)
	}
}
