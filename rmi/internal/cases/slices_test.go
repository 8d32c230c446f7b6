package cases_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gormi/rmi/fault"
	"gormi/rmi/internal/cases"
	"gormi/rmi/wire"
)

// elements are values that a slice may have to read, and some that no slice can read.
var elements = map[string]string{
	"small": "\x05", "-1": "\xff", "8 bits": "\xcc\xff", "16 bits": "\xcd\xff\xff", "32 bits": "\xce\xff\xff\xff\xff", "64 bits": "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
	"signed 8 bits": "\xd0\x80", "signed 16 bits": "\xd1\x80\x00", "signed 32 bits": "\xd2\x80\x00\x00\x00", "signed 64 bits": "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
	"small in 64 bits": "\xcf\x00\x00\x00\x00\x00\x00\x00\x05", "small in signed 64 bits": "\xd3\x00\x00\x00\x00\x00\x00\x00\x05", "small in signed 8 bits": "\xd0\x05",
	"63 bits": "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", "nil": "\xc0", "false": "\xc2", "true": "\xc3",
	"float": "\xca\x3f\x80\x00\x00", "double": "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "double past a float": "\xcb\x7f\xe0\x00\x00\x00\x00\x00\x00", "not a number": "\xca\x7f\xc0\x00\x00",
	"text": "\xa1x", "bytes": "\xc4\x01x", "list": "\x90", "map": "\x80", "extension": "\xd4\x7f\x00",
}

// alike is what calls must agree on: the whole error, except for the interface's name.
func alike(err error) string {
	if err == nil {
		return ""
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		return err.Error()
	}
	return fmt.Sprint(f.Kind, f.Outcome, f.Detail())
}

func TestSlicesAreReadAlike(t *testing.T) {
	generated, _ := newLoop[cases.Cases, cases.Cases](t, &echo{})
	reflective, _ := newLoop[cases.Cases, cases.Plain](t, &echo{})
	taken, refused := map[string]int{}, map[string]int{}
	try := func(method, field, what, slice string, limits wire.Limits) {
		body := slices.Concat([]byte{0x91, 0x81, 0xa0 | byte(len(field))}, []byte(field+slice))
		generated.limits, reflective.limits = limits, limits
		got, _, err1 := generated.serve(t.Context(), method, body, nil)
		want, _, err2 := reflective.serve(t.Context(), method, body, nil)
		if alike(err1) != alike(err2) || !bytes.Equal(got, want) {
			t.Errorf("%s of %s: %s:\ngenerated  %x, %v\nreflective %x, %v", field, method, what, got, err1, want, err2)
		}
		if err1 == nil {
			taken[field]++
		} else {
			refused[field]++
		}
	}
	for method, typ := range map[string]reflect.Type{"Slices": reflect.TypeFor[cases.Slices](), "NamedSlices": reflect.TypeFor[cases.NamedSlices]()} {
		for i := range typ.NumField() {
			field := typ.Field(i).Name
			for what, slice := range elements {
				try(method, field, what+" for a slice", slice, wire.Limits{})
			}
			for what, first := range elements {
				try(method, field, what, "\x91"+first, wire.Limits{})
				for next, second := range elements {
					try(method, field, what+", "+next, "\x93"+first+second+first, wire.Limits{})
				}
				for limit := 1; limit < 40; limit++ {
					try(method, field, fmt.Sprintf("%s within memory %d", what, limit), "\xdc\x00\x04"+strings.Repeat(first, 4), wire.Limits{Memory: 4 * limit})
				}
				for limit := 1; limit < 8; limit++ {
					try(method, field, fmt.Sprintf("%s within %d elements", what, limit), "\x94"+strings.Repeat(first, 4), wire.Limits{Elements: limit})
					try(method, field, fmt.Sprintf("%s within depth %d", what, limit), "\x94"+strings.Repeat(first, 4), wire.Limits{Depth: limit})
				}
			}
			if field != "Colors" && field != "Two" && (taken[field] < 100 || refused[field] < 100) { // those are bytes
				t.Errorf("%s: %d slices were taken and %d refused: too few to tell anything", field, taken[field], refused[field])
			}
		}
	}
}

// A slice may be too large for a message at any of its elements.
func TestSlicesAreRefusedAlikeWhereTheyGrowTooLarge(t *testing.T) {
	all := pairs(t, &echo{})
	for i := range reflect.TypeFor[cases.Slices]().NumField() {
		var v cases.Slices
		reflect.ValueOf(&v).Elem().Field(i).Set(reflect.ValueOf(slicesOf(20)).Field(i))
		field := reflect.TypeFor[cases.Slices]().Field(i).Name
		within := 0
		for limit := 1; within == 0; limit++ {
			texts := map[string]string{}
			for pair, p := range all {
				p.sends.Message = limit
				_, err := p.Slices(context.Background(), v)
				texts[alike(err)] = pair
				if err == nil {
					within = limit
				}
			}
			if len(texts) != 1 {
				t.Fatalf("%s within %d bytes: the pairs say different things: %v", field, limit, texts)
			}
		}
		if within < 60 {
			t.Errorf("%s was sent within %d bytes", field, within)
		}
	}
}
