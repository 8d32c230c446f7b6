package rmi

import (
	"reflect"
	"testing"
)

// Each field goes where the layers below have one of that name, and none is missing.
func TestEachLimitReachesTheTransport(t *testing.T) {
	var below []string
	of := reflect.TypeOf(Limits{}.transport())
	for _, f := range reflect.VisibleFields(of) {
		if !f.Anonymous && f.IsExported() {
			below = append(below, f.Name)
		}
	}
	if n := reflect.TypeFor[Limits]().NumField(); n != len(below) {
		t.Errorf("%d limits, and %d below", n, len(below))
	}
	for at, name := range below {
		var l Limits
		f := reflect.ValueOf(&l).Elem().FieldByName(name)
		if !f.IsValid() {
			t.Errorf("Limits has no field %s", name)
			continue
		}
		f.SetInt(int64(1000 + at))
		got := reflect.ValueOf(l.transport())
		for _, other := range below {
			want := int64(0)
			if other == name {
				want = int64(1000 + at)
			}
			if v := got.FieldByName(other).Int(); v != want {
				t.Errorf("with %s alone, %s is %d", name, other, v)
			}
		}
	}
}

func TestLimitsAreWrittenAsALiteral(t *testing.T) {
	n := NewNode(&Options{Limits: Limits{Message: 2 << 20, Handlers: 7}})
	defer n.Close()
	if n.limits.Message != 2<<20 || n.transport.Limits.Handlers != 7 || n.limits.Depth != 64 {
		t.Errorf("the node has %+v", n.transport.Limits)
	}
}
