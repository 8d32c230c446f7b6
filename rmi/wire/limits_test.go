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
		{Limits{-1, -1, -1, -1, -1}, standard},
		{Limits{1, 1, 1, 1, 1}, Limits{1, 1, 1, 1, 1}},
		{most, most},
		{Limits{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt}, most},
		{Limits{1<<30 + 1, 256, 1<<30 + 1, 5, 65536}, Limits{1 << 30, 255, 1 << 30, 5, 65535}},
	} {
		if got := test.given.WithDefaults(); got != test.want {
			t.Errorf("%+v: got %+v, want %+v", test.given, got, test.want)
		}
	}
}
