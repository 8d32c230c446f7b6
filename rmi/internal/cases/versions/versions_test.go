package versions

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"go/format"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/codec"
	"gormi/rmi/rmitest"
)

var update = flag.Bool("update", false, "write types.go anew")

// of returns the method that takes and returns values of t.
func of(t reflect.Type) (*codec.Method, error) {
	i, err := codec.InterfaceOf(reflect.FuncOf([]reflect.Type{reflect.TypeFor[context.Context](), t}, []reflect.Type{t, reflect.TypeFor[error]()}, false))
	if err != nil {
		return nil, err
	}
	return i.Methods[0], nil
}

// sent returns how v arrives where it is decoded as a value of another version.
func sent(from, to *codec.Method, v reflect.Value) (reflect.Value, error) {
	e := codec.NewEncoder(nil, nil)
	defer e.Release()
	if err := from.EncodeArgs(e, []reflect.Value{v}); err != nil {
		return v, err
	}
	d, err := codec.NewDecoder(e.Body(), nil, nil, nil)
	if err != nil {
		return v, err
	}
	defer d.Release()
	got, err := to.DecodeArgs(d)
	if err != nil {
		return v, err
	}
	return got[0], nil
}

// fill makes a random value.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Int:
		v.SetInt(r.Int64N(3))
	case reflect.String:
		v.SetString(strings.Repeat("s", r.IntN(3)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(float64(r.IntN(3)))
	case reflect.Slice:
		if n := r.IntN(4); n < 3 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i))
			}
		}
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	case reflect.Map:
		if n := r.IntN(3); n < 2 {
			v.Set(reflect.ValueOf(map[string]int{"a": 1, "b": 2}))
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[netip.Addr]() {
			if r.IntN(2) == 0 {
				v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{1, 2, 3, byte(r.IntN(9))})))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(r, v.Field(i))
			}
		}
	}
}

// at returns a slot's value in v; not valid if a pointer on the way is nil.
func at(v reflect.Value, s slot) reflect.Value {
	for i, n := range s.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v
}

// through follows pointers; not valid if one is nil.
func through(v reflect.Value) reflect.Value {
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}

// partner finds the sender's slot whose value a slot gets.
func partner(senders []slot, tuple bool, to slot, i int) *slot {
	if tuple {
		if i < len(senders) {
			return &senders[i]
		}
		return nil
	}
	for _, name := range []string{to.name, to.alias} {
		for j := range senders {
			if senders[j].name == name {
				return &senders[j]
			}
		}
	}
	return nil
}

// arrived compares a value with the one that was sent, in the fields that both versions have.
// The other fields must be zero. It returns the first difference.
func arrived(from, got reflect.Value, omit bool) string {
	from, got = through(from), through(got)
	switch {
	case !from.IsValid():
		if got.IsValid() && !got.IsZero() {
			return fmt.Sprintf("%+v from nothing", got)
		}
		return ""
	case from.Kind() != reflect.Struct || from.Type() == reflect.TypeFor[netip.Addr](): // a leaf
		if omit && (from.Kind() == reflect.Slice || from.Kind() == reflect.Map) && from.Len() == 0 {
			from = reflect.Zero(from.Type())
		}
		if !got.IsValid() {
			if from.IsZero() { // a nil pointer stands for a value that was left out
				return ""
			}
			return fmt.Sprintf("nothing of %+v", from)
		}
		if from.Type() != got.Type() && (from.IsZero() && got.IsZero() || fmt.Sprint(from) == fmt.Sprint(got)) {
			return "" // by an alias: a nil is any type's zero value, and an integer a float
		}
		if !reflect.DeepEqual(from.Interface(), got.Interface()) {
			return fmt.Sprintf("%+v of %+v", got, from)
		}
		return ""
	case !got.IsValid():
		got = reflect.Zero(from.Type())
	}
	senders, tuple := slots(from.Type())
	takers, _ := slots(got.Type())
	for i, to := range takers {
		value, s := reflect.Value{}, partner(senders, tuple, to, i)
		if s != nil {
			value = at(from, *s)
		}
		if bad := arrived(value, at(got, to), s != nil && s.omit && !tuple); bad != "" {
			return to.name + ": " + bad
		}
	}
	return ""
}

// differs reports whether two versions have a field of the same name but of different forms.
// Tuples have fields by place.
func differs(a, b reflect.Type) bool {
	for ; a.Kind() == reflect.Pointer; a = a.Elem() {
	}
	for ; b.Kind() == reflect.Pointer; b = b.Elem() {
	}
	if a.Kind() != reflect.Struct || b.Kind() != reflect.Struct || a.NumMethod()+b.NumMethod() > 0 {
		return a != b
	}
	as, tupleA := slots(a)
	bs, tupleB := slots(b)
	if tupleA != tupleB {
		return true
	}
	for i, s := range as {
		for j, x := range bs {
			if tupleA && i == j && (s.name != x.name || differs(s.typ, x.typ)) || !tupleA && s.name == x.name && differs(s.typ, x.typ) {
				return true
			}
		}
	}
	return false
}

func aliased(t reflect.Type) bool {
	list, _ := slots(t)
	for _, s := range list {
		if s.alias != "" || s.typ.Kind() == reflect.Struct && s.typ.NumMethod() == 0 && aliased(s.typ) || s.typ.Kind() == reflect.Pointer && s.typ.Elem().Kind() == reflect.Struct && aliased(s.typ.Elem()) {
			return true
		}
	}
	return false
}

// Whatever was changed in a struct between two versions: the fields that both have arrive
// unchanged, or there is an error.
func TestVersionsOfAStructLoseNothingWithoutAWord(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 500
	}
	count := map[string]int{}
	for seed := range rounds {
		m := &maker{Rand: rand.New(rand.NewPCG(uint64(seed), 11))}
		first := m.shape(0)
		types := []reflect.Type{first.Type(), m.later(first).Type()}
		var methods []*codec.Method
		for _, typ := range types {
			method, err := of(typ)
			if (err != nil) != conflict(typ) {
				t.Fatalf("seed %d: %v: %v", seed, typ, err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), "both travel as") {
					t.Fatalf("seed %d: %v", seed, err)
				}
				continue
			}
			methods = append(methods, method)
			v := reflect.New(typ).Elem()
			fill(m.Rand, v)
			got, err := sent(method, method, v)
			if err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, v, err)
			}
			if bad := arrived(v, got, false); bad != "" {
				t.Fatalf("seed %d: %+v came as %+v: %s", seed, v, got, bad)
			}
			if _, tuple := slots(typ); !tuple && !sameWay(v, got) {
				t.Fatalf("seed %d: %v: %+v came as %+v: an embedded pointer is nil", seed, typ, v, got)
			}
		}
		if len(methods) < 2 {
			count["refused"]++
			continue
		}
		for i, from := range methods {
			to := methods[1-i]
			agree := to.Interface.Description().Accepts(from.Interface.Description())
			if (agree != nil) != differs(types[i], types[1-i]) {
				t.Fatalf("seed %d: %v to %v: %v", seed, types[i], types[1-i], agree)
			}
			if agree != nil {
				if from.Interface.Fingerprint == to.Interface.Fingerprint {
					t.Fatalf("seed %d: equal fingerprints, but %v", seed, agree)
				}
				count["mismatch"]++
				continue
			}
			for range 5 {
				v := reflect.New(types[i]).Elem()
				fill(m.Rand, v)
				got, err := sent(from, to, v)
				if err != nil {
					if !aliased(types[1-i]) { // an alias is not described
						t.Fatalf("seed %d: %v to %v: %v", seed, types[i], types[1-i], err)
					}
					count["error"]++
					continue
				}
				count["arrived"]++
				if bad := arrived(v, got, false); bad != "" {
					t.Fatalf("seed %d: %v to %v: %+v came as %+v: %s", seed, types[i], types[1-i], v, got, bad)
				}
			}
		}
	}
	t.Logf("%v", count)
	for what, least := range map[string]int{"refused": rounds / 50, "mismatch": rounds / 50, "arrived": 3 * rounds, "error": 1} {
		if count[what] < least {
			t.Errorf("%s: %d, too few to tell anything", what, count[what])
		}
	}
}

// sameWay reports whether the same embedded pointers are nil.
func sameWay(a, b reflect.Value) bool {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if !f.Anonymous || strings.Contains(f.Tag.Get("msgpack"), "noinline") {
			continue
		}
		x, y := through(a.Field(i)), through(b.Field(i))
		if x.IsValid() && y.IsValid() {
			if !sameWay(x, y) {
				return false
			}
		} else if x.IsValid() && !nothing(x) || y.IsValid() && !nothing(y) {
			return false
		}
	}
	return true
}

// nothing reports whether a struct has only embedded pointers that are nil.
func nothing(v reflect.Value) bool {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.Anonymous || strings.Contains(f.Tag.Get("msgpack"), "noinline") {
			return false
		}
		if x := through(v.Field(i)); x.IsValid() && !nothing(x) {
			return false
		}
	}
	return true
}

// generated is the number of pairs of versions with generated stubs.
const generated = 16

// source writes types.go: pairs of versions that agree.
func source() []byte {
	var types, was, is, echo strings.Builder
	for seed, n := 0, 0; n < generated; seed++ {
		m := &maker{Rand: rand.New(rand.NewPCG(uint64(seed), 12))}
		first := m.shape(0)
		second := m.later(first)
		if a, b := first.Type(), second.Type(); a == b || conflict(a) || conflict(b) || differs(a, b) || aliased(b) && n%2 == 0 {
			continue
		}
		types.WriteString("\n" + first.source(fmt.Sprintf("Old%d", n)) + "\n" + second.source(fmt.Sprintf("New%d", n)))
		fmt.Fprintf(&was, "V%d(ctx context.Context, v Old%[1]d) (Old%[1]d, error)\n", n)
		fmt.Fprintf(&is, "V%d(ctx context.Context, v New%[1]d) (New%[1]d, error)\n", n)
		fmt.Fprintf(&echo, "\n// V%d returns its argument.\nfunc (e *Echo) V%[1]d(_ context.Context, v New%[1]d) (New%[1]d, error) { e.Seen(v); return v, nil }\n", n)
		n++
	}
	text, err := format.Source([]byte("// Code generated by versions_test.go -update; DO NOT EDIT.\n\npackage versions\n\nimport (\n\"context\"\n\"net/netip\"\n)\n\n" +
		"// Old has a method for each first version.\ntype Old interface {\n" + was.String() + "}\n\n// New has one for each second version.\ntype New interface {\n" + is.String() + "}\n" + types.String() +
		"\n// Echo returns what it is given.\ntype Echo struct{ Seen func(any) }\n" + echo.String()))
	if err != nil {
		panic(err)
	}
	return text
}

// The same with generated code, on either side or both.
func TestVersionsOfAStructByGeneratedStubs(t *testing.T) {
	type (
		plainOld interface{ Old }
		plainNew interface{ New }
	)
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	var seen any
	echo := &Echo{Seen: func(v any) { seen = v }}
	served, err := rmi.Export[New](owner, echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	reflected, err := rmi.Export[plainNew](owner, echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxies := map[string]Old{}
	for name, ref := range map[string]refs.Ref{"generated": served.Ref(), "reflective": reflected.Ref()} {
		if proxies["generated, "+name], err = rmi.Resolve[Old](caller, ref, nil); err != nil {
			t.Fatal(err)
		}
		if proxy.Supported(reflect.TypeFor[plainOld]()) == nil {
			if proxies["run-time, "+name], err = rmi.Resolve[plainOld](caller, ref, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for pair, p := range proxies {
		r := rand.New(rand.NewPCG(1, 1))
		for n := range generated {
			method := reflect.ValueOf(p).MethodByName(fmt.Sprintf("V%d", n))
			for range 20 {
				v := reflect.New(method.Type().In(1)).Elem()
				fill(r, v)
				seen = nil
				out := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), v})
				if err := out[1].Interface(); err != nil {
					t.Fatalf("%s: V%d(%+v): %v", pair, n, v, err)
				}
				if bad := arrived(v, reflect.ValueOf(seen), false); bad != "" {
					t.Errorf("%s: V%d: %+v came as %+v: %s", pair, n, v, seen, bad)
				}
				if bad := arrived(reflect.ValueOf(seen), out[0], false); bad != "" {
					t.Errorf("%s: V%d: %+v came back as %+v: %s", pair, n, seen, out[0], bad)
				}
			}
		}
	}
}

func TestTheTypesAreCurrent(t *testing.T) {
	want := source()
	if *update {
		if err := os.WriteFile("types.go", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("types.go"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("types.go is out of date (%v): go generate", err)
	}
}
