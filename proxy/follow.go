package proxy

import (
	"context"
	"runtime"

	"gormi/refs"
)

// A RefreshFunc tells where the object of a following proxy is now. failed is
// the reference by which the last call failed, and cause why.
type RefreshFunc func(ctx context.Context, failed refs.Ref, cause error) (refs.Ref, error)

// Follow returns a following proxy: it stands for whichever object a name leads
// to, at first for target's, and its Caller calls refresh to be led on. It is in
// no table but that of funcs, so it is nobody else's and equal to none.
func (t *Table) Follow(target *Core, refresh RefreshFunc) (*Core, error) {
	c := &Core{Interface: target.Interface, Caller: target.Caller, Refresh: refresh, table: t}
	c.target.Store(target)
	if err := c.build(); err != nil {
		return nil, err
	}
	if c.fn != nil {
		addFunc(c)
		runtime.AddCleanup(c, dropFunc, uintptr(c.fn))
	}
	return c, nil
}

// Target is the ordinary proxy through which a following one makes its calls
// now. It has the reference, and what the Caller remembers of it.
func (c *Core) Target() *Core { return c.target.Load() }

// Retarget has the next calls of a following proxy go through another one, of
// the same interface.
func (c *Core) Retarget(to *Core) { c.target.Store(to) }
