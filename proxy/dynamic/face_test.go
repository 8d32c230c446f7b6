//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"bytes"
	"encoding"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"gormi/proxy/dynamic"
)

// faced is a ledger with a face.
type faced struct{ ledger }

var errFaced = errors.New("not to be written")

func (f *faced) Format(s fmt.State, verb rune)  { fmt.Fprintf(s, "formatted as %c", verb) }
func (f *faced) String() string                 { return "a string" }
func (f *faced) GoString() string               { return "a Go string" }
func (f *faced) LogValue() slog.Value           { return slog.StringValue("a log value") }
func (f *faced) MarshalBinary() ([]byte, error) { return nil, errFaced }
func (f *faced) MarshalJSON() ([]byte, error)   { return nil, errFaced }
func (f *faced) MarshalText() ([]byte, error)   { return nil, errFaced }

func TestADispatchersFaceIsItsProxies(t *testing.T) {
	p := newProxy[account](t, new(faced))
	for _, verb := range "vsqxdZ" {
		want := fmt.Sprintf("formatted as %c", verb)
		if s := fmt.Sprintf("%"+string(verb), p); s != want {
			t.Errorf("%%%c printed %q", verb, s)
		}
		if s := fmt.Sprintf("%+"+string(verb), []any{p, struct{ A account }{p}}); strings.Count(s, want) != 2 {
			t.Errorf("%%+%c inside of others printed %q", verb, s)
		}
	}
	if s := any(p).(fmt.Stringer).String(); s != "a string" {
		t.Errorf("String returned %q", s)
	}
	if s := any(depositor(p)).(fmt.GoStringer).GoString(); s != "a Go string" {
		t.Errorf("GoString returned %q", s)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "proxy", p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "proxy", p)
	if strings.Count(log.String(), `"a log value"`) != 2 {
		t.Errorf("logged %s", &log)
	}
	for _, v := range []any{p, &p, []account{p}, map[string]any{"a": p}, struct{ A account }{p}} {
		if b, err := json.Marshal(v); !errors.Is(err, errFaced) {
			t.Errorf("JSON of %T is %s, %v", v, b, err)
		}
	}
	type element struct{ A account }
	if _, err := xml.Marshal(element{p}); !errors.Is(err, errFaced) {
		t.Errorf("XML: %v", err)
	}
	if err := gob.NewEncoder(io.Discard).Encode(p); !errors.Is(err, errFaced) {
		t.Errorf("gob: %v", err)
	}
	if _, err := any(p).(encoding.TextMarshaler).MarshalText(); err != errFaced {
		t.Errorf("text: %v", err)
	}
	if n, err := p.Deposit(3); n != 3 || err != nil {
		t.Errorf("the methods of the interface: %d, %v", n, err)
	}
}

func TestAProxyPrintsByEveryWayToItsMethods(t *testing.T) {
	p := newProxy[account](t, new(faced))
	receiver := reflect.ValueOf(p)
	face := reflect.TypeFor[dynamic.Face]()
	for i := range face.NumMethod() {
		name := face.Method(i).Name
		m, ok := receiver.Type().MethodByName(name)
		if !ok || m.Type.NumIn() != face.Method(i).Type.NumIn()+1 {
			t.Fatalf("%s is %v", name, m.Type)
		}
		if name == "Format" {
			continue
		}
		byValue, byType := receiver.Method(m.Index).Call(nil), m.Func.Call([]reflect.Value{receiver})
		direct := reflect.ValueOf(dynamic.Face(new(faced))).MethodByName(name).Call(nil)
		for at := range direct {
			if want := fmt.Sprint(direct[at]); fmt.Sprint(byValue[at]) != want || fmt.Sprint(byType[at]) != want {
				t.Errorf("%s returned %v and %v, not %s", name, byValue[at], byType[at], want)
			}
		}
	}
	kept := any(p).(fmt.Stringer).String
	runtime.GC()
	if s := kept(); s != "a string" {
		t.Errorf("the kept method returned %q", s)
	}
}

// Printing passes several words of arguments besides a receiver of seven words.
func TestAProxyFormatsAsAFunctionOfItsType(t *testing.T) {
	p := newProxy[account](t, new(faced))
	m, _ := reflect.TypeOf(p).MethodByName("Format")
	s := fmt.Sprintf("%v", formatted(func(state fmt.State, verb rune) {
		m.Func.Call([]reflect.Value{reflect.ValueOf(p), reflect.ValueOf(state), reflect.ValueOf(verb)})
	}))
	if s != "formatted as v" {
		t.Errorf("printed %q", s)
	}
}

type formatted func(fmt.State, rune)

func (f formatted) Format(s fmt.State, verb rune) { f(s, verb) }

func TestMethodsOfTheInterfaceGoBeforeTheFace(t *testing.T) {
	type clash interface {
		Abc() string
		Format(int) string
		MarshalText(string) string
		String(int, int) string
		Zyx() string
	}
	p := newProxy[clash](t, dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		return values(fmt.Sprint(method, len(args)))
	}))
	for want, got := range map[string]string{
		"0 0": p.Abc(), "1 1": p.Format(7), "2 1": p.MarshalText(""), "3 2": p.String(1, 2), "4 0": p.Zyx(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, ok := any(p).(fmt.Stringer); ok {
		t.Error("a method of the interface with another signature is a Stringer's")
	}
	if _, err := any(p).(encoding.BinaryMarshaler).MarshalBinary(); err == nil {
		t.Error("what does not clash is missing")
	}
	if n := reflect.TypeOf(p).NumMethod(); n != 5+4 {
		t.Errorf("%d methods", n)
	}
	if s := fmt.Sprintf("%#v", p); s != "dynamic proxy" { // GoString is left
		t.Errorf("printed %q", s)
	}
}

func TestAProxyWithoutAFaceIsNoData(t *testing.T) {
	p := newProxy[account](t, new(ledger))
	if s := fmt.Sprintf("%v %s", p, p); s != "dynamic proxy dynamic proxy" {
		t.Errorf("printed %q", s)
	}
	if b, err := json.Marshal(p); err == nil || !strings.Contains(err.Error(), "a proxy is not data") {
		t.Errorf("JSON is %s, %v", b, err)
	}
	zero := reflect.Zero(reflect.TypeOf(p)).Interface()
	if s := fmt.Sprint(zero); s != "dynamic proxy" {
		t.Errorf("the zero struct printed %q", s)
	}
}
