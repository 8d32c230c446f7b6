package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// bombs are inputs that a trusting reader would allocate or recurse for.
var bombs = []string{
	"", "\x90", "\xc1", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x01",
	"\x91\xdd\x7f\xff\xff\xff", "\xd5\x01\x00\x00", "\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	strings.Repeat("\x91", 1000) + "\xc0", strings.Repeat("\x81\xc0", 200) + "\xc0",
	"\x91\xdc\x03\xe8" + strings.Repeat("\xc0", 1000),
	"\x91\x82\xa1A\x01\xa1A\x02", "\x91\x81\xa1Z\x93\x01\x02\x03",
	"\x91\x92\xa5[]any\x91\x92\xaetest.overdrawn\x01",
}

// FuzzScan checks that whatever Scan accepts can be decoded as any type
// without a panic and within the memory limit.
func FuzzScan(f *testing.F) {
	for _, b := range bombs {
		f.Add([]byte(b))
	}
	e := NewEncoder(nil, nil)
	if err := EncodeAny(e, []any{record{1, "x", time.Unix(3, 4), []string{"a"}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(e.Body()))
	e.Release()
	f.Add(append([]byte{0x91}, AppendError(nil, fmt.Errorf("x: %w", &overdrawn{1, io.EOF}))...))
	var methods []*Method
	for _, t := range []reflect.Type{reflect.TypeFor[record](), reflect.TypeFor[tree](), reflect.TypeFor[any](), reflect.TypeFor[[]any](),
		reflect.TypeFor[error](), reflect.TypeFor[listening](), reflect.TypeFor[tuple](), reflect.TypeFor[tagged](), reflect.TypeFor[embedding](),
		reflect.TypeFor[map[string]kilobyte](), reflect.TypeFor[[]kilobyte](), reflect.TypeFor[greedy](), reflect.TypeFor[panicky](),
		reflect.TypeFor[[]int8](), reflect.TypeFor[float32](), reflect.TypeFor[[3]string](), reflect.TypeFor[map[int]any]()} {
		methods = append(methods, methodOf(f, t))
	}
	limits := &wire.Limits{Memory: 1 << 20, Message: 64 << 10}
	table := []refs.Ref{{ID: refs.ID{Object: 1 << 20}}}
	o := newObjects()
	o.byNum[1<<20] = reflect.ValueOf(notifier{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := Scan(body, limits); err != nil {
			if k := fault.KindOf(err); k != fault.KindBadArguments && k != fault.KindTooLarge {
				t.Fatalf("kind %v: %v", k, err)
			}
			return
		}
		for _, m := range methods {
			d, err := NewDecoder(body, table, o, limits)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			args, err := m.DecodeArgs(d)
			runtime.ReadMemStats(&after)
			d.Release()
			if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
				t.Fatalf("%s took %d bytes", m.Signature(), used)
			}
			if err != nil {
				continue
			}
			e := NewEncoder(o, limits)
			if err := m.EncodeArgs(e, args); err == nil {
				if _, err := Scan(e.Body(), limits); err != nil {
					t.Fatalf("%s wrote what Scan refuses: %v", m.Signature(), err)
				}
			}
			e.Release()
		}
		d, err := NewDecoder(body, table, nil, limits)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = DecodeAny(d)
		d.Release()
	})
}

func FuzzParseError(f *testing.F) {
	for _, b := range bombs {
		f.Add([]byte(b))
	}
	for _, err := range []error{io.EOF, code(3), &overdrawn{1, fmt.Errorf("x: %w", &overdrawn{2, io.EOF})},
		errors.Join(context.Canceled, fault.New(fault.KindNotBound, fault.OutcomeNotExecuted, "y"))} {
		f.Add(AppendError(nil, err))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseError(b, nil)
		if err != nil {
			return
		}
		text := e.Error()
		again, err := ParseError(AppendError(nil, e), nil)
		if err != nil || again.Kind != e.Kind || again.Outcome != e.Outcome {
			t.Fatalf("%q came back as %v, %v", text, again, err)
		}
	})
}

func FuzzParseDescription(f *testing.F) {
	for _, b := range bombs {
		f.Add([]byte(b))
	}
	own := describe[Account](f)
	for _, d := range []*Description{own, describe[func(context.Context, tree, any) (tuple, error)](f)} {
		b, err := d.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDescription(b)
		if err != nil {
			return
		}
		if n := len(d.String()); n > 2*maxText {
			t.Fatalf("%d bytes of text", n)
		}
		_ = own.Accepts(d)
		_ = d.Accepts(own)
		if len(d.Types) > 100 {
			return // the fingerprint of a large one takes a while
		}
		again, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > maxDescription {
			return // it was written in a shorter way than ours
		}
		same, err := ParseDescription(again)
		if err != nil || same.Fingerprint() != d.Fingerprint() {
			t.Fatalf("does not round-trip: %v", err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, args := range map[string][]any{"Null": {}, "Scalars": {int64(1000), true, "a name"}, "Record": {record{1 << 40, "a name", time.Unix(1700000000, 5), []string{"a", "b"}}}} {
		m, values := benchmarked(b, args)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := NewEncoder(nil, nil)
				if err := m.EncodeArgs(e, values); err != nil {
					b.Fatal(err)
				}
				e.Release()
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, args := range map[string][]any{"Null": {}, "Scalars": {int64(1000), true, "a name"}, "Record": {record{1 << 40, "a name", time.Unix(1700000000, 5), []string{"a", "b"}}}} {
		m, values := benchmarked(b, args)
		e := NewEncoder(nil, nil)
		if err := m.EncodeArgs(e, values); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d, err := NewDecoder(e.Body(), nil, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := m.DecodeArgs(d); err != nil {
					b.Fatal(err)
				}
				d.Release()
			}
		})
		e.Release()
	}
}

// benchmarked returns a method that takes args.
func benchmarked(t testing.TB, args []any) (*Method, []reflect.Value) {
	in, values := []reflect.Type{typeContext}, []reflect.Value{}
	for _, a := range args {
		in = append(in, reflect.TypeOf(a))
		values = append(values, reflect.ValueOf(a))
	}
	i, err := InterfaceOf(reflect.FuncOf(in, []reflect.Type{typeError}, false))
	if err != nil {
		t.Fatal(err)
	}
	return i.Methods[0], values
}

func TestCallsWithoutArgumentsDoNotAllocate(t *testing.T) {
	m, _ := benchmarked(t, nil)
	if n := testing.AllocsPerRun(100, func() {
		e := NewEncoder(nil, nil)
		if err := m.EncodeArgs(e, nil); err != nil {
			t.Error(err)
		}
		d, err := NewDecoder(e.Body(), nil, nil, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := m.DecodeArgs(d); err != nil {
			t.Error(err)
		}
		d.Release()
		e.Release()
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
