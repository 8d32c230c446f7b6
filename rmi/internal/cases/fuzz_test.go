package cases_test

import (
	"testing"

	"gormi/rmi/fault"
	"gormi/rmi/internal/cases"
	"gormi/rmi/wire"
)

// FuzzSkeletonsAgree compares the results of generated code and of reflection for a body.
func FuzzSkeletonsAgree(f *testing.F) {
	recorder, p := newLoop[cases.Cases, cases.Cases](f, &echo{})
	methods := interfaceOf[cases.Cases](f).Methods
	for _, c := range calls {
		if _, err := c.call(f.Context(), p); err != nil {
			f.Fatal(err)
		}
		for i := range methods {
			if recorder.method == methods[i].Name {
				f.Add(uint8(i), uint16(0), recorder.args)
			}
		}
	}
	generated, _ := newLoop[cases.Cases, cases.Cases](f, &echo{})
	reflective, _ := newLoop[cases.Cases, cases.Plain](f, &echo{})
	f.Fuzz(func(t *testing.T, method uint8, memory uint16, body []byte) {
		m := methods[int(method)%len(methods)].Name
		if m == "Fail" {
			return
		}
		generated.limits, reflective.limits = wire.Limits{Memory: int(memory)}, wire.Limits{Memory: int(memory)}
		got, _, err1 := generated.serve(t.Context(), m, body, nil)
		want, _, err2 := reflective.serve(t.Context(), m, body, nil)
		if fault.KindOf(err1) != fault.KindOf(err2) || fault.OutcomeOf(err1) != fault.OutcomeOf(err2) || len(got) != len(want) {
			t.Fatalf("%s(%x):\ngenerated %x, %v\nreflective %x, %v", m, body, got, err1, want, err2)
		}
	})
}
