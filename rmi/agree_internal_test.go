package rmi

import (
	"encoding/binary"
	"testing"

	"gormi/refs"
)

func TestAgreementsAreBounded(t *testing.T) {
	var a agreements
	question := func(i int) (q agreement) {
		binary.BigEndian.PutUint32(q.owners[:], uint32(i))
		return q
	}
	for i := range 3 * mostAgreements {
		a.put(question(i), verdict{})
		if _, known := a.get(question(i)); !known {
			t.Fatalf("answer %d is not known right after it was put", i)
		}
	}
	if len(a.m) != mostAgreements {
		t.Errorf("%d answers are remembered, want %d", len(a.m), mostAgreements)
	}
	if _, known := a.get(agreement{callers: refs.Fingerprint{1}}); known {
		t.Error("what was never put is known")
	}
}
