//go:build !race && !rmi_locks

package transport

import (
	"testing"
	"time"
)

// An empty call on an established session allocates no more than before sessions could be
// resumed: the callee's context, and what the system's network costs.
func TestAllocationsOfAnEmptyCall(t *testing.T) {
	a, b := newNode(t, &tcp{}, ""), newNode(t, &tcp{}, "127.0.0.1")
	b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, nil) }
	s := a.session(t, b)
	r := request(t.Context(), first, nil)
	got := testing.AllocsPerRun(2000, func() {
		r.Deadline = time.Now().Add(30 * time.Second)
		reply, err := s.Call(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		reply.Release()
	})
	t.Logf("%v allocations", got)
	if got > 1 {
		t.Errorf("%v allocations on both sides, want at most 1", got)
	}
}
