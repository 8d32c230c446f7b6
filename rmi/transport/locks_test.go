package transport

import (
	"flag"
	"fmt"
	"testing"

	"gormi/rmi/internal/guard"
)

func TestLocksHaveAnOrder(t *testing.T) {
	if cycle := guard.Cycle(nestings); cycle != nil {
		t.Errorf("each of these locks may be taken under the one before, and the first under the last: %v", cycle)
	}
}

// nestingsSeen runs tests. In a build that checks locks, they fail if all of them together did
// not meet each of the nestings: the table must not list more than there is.
type nestingsSeen struct{ *testing.M }

func (m nestingsSeen) Run() int {
	code := m.M.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && !testing.Short() {
		for _, n := range guard.Unseen() {
			fmt.Printf("the lock of %v was never taken while that of %v was held: %s\n", n.Taken, n.Held, n.Where)
			code = 1
		}
	}
	return code
}
