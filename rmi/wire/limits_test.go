package wire

import (
	"math"
	"testing"
)

func TestLimitsHaveTheDefaultsThatTheSpecificationNames(t *testing.T) {
	standard := Limits{Message: 4 << 20, Depth: 64, Elements: 1 << 20, Memory: 256 << 20, References: 16384}
	most := Limits{Message: 1 << 30, Depth: 255, Elements: 1 << 30, Memory: math.MaxInt, References: 65535}
	for _, test := range []struct{ given, want Limits }{
		{Limits{}, standard},
		{Limits{-1, -1, -1, -1, -1, false}, standard},
		{Limits{1, 1, 1, 1, 1, false}, Limits{1, 1, 1, 1, 1, false}},
		{most, most},
		{Limits{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, false}, most},
		{Limits{1<<30 + 1, 256, 1<<30 + 1, 5, 65536, false}, Limits{1 << 30, 255, 1 << 30, 5, 65535, false}},
	} {
		test.want.effective = true
		got := test.given.WithDefaults()
		if got != test.want {
			t.Errorf("%+v: got %+v, want %+v", test.given, got, test.want)
		}
		if e := test.given.Effective(); *e != test.want || e == &test.given {
			t.Errorf("%+v: effective are %+v, want %+v", test.given, *e, test.want)
		}
		if got.Effective() != &got {
			t.Errorf("effective limits are copied")
		}
	}
}
