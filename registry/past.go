package registry

import (
	"time"

	"gormi/refs"
)

// ending is how a binding ended that was not replaced by another.
type ending bool

const (
	lapsed  ending = false // its lease was not renewed
	unbound ending = true
)

// end is the end of the last binding that a name had.
type end struct {
	revision Revision
	how      ending
	of       refs.NodeID // who held it
	by       holder      // who unbound it
	origin               // zero of a permanent one
}

// past remembers names that are not bound any more, whoever unbound them and however long they were
// bound, because an earlier holder must not bind them again. It remembers a name for at least
// pastFor, unless more than maxPast names end in that time. It has two generations, and drops the
// older one as a whole. The zero value is empty.
type past struct {
	young, old map[string]end
	since      time.Duration // when young began
}

func (p *past) add(name string, e end, now time.Duration) {
	if p.young == nil || len(p.young) >= maxPast || now-p.since > pastFor {
		if now-p.since > 2*pastFor {
			p.young = nil
		}
		p.young, p.old, p.since = make(map[string]end), p.young, now
	}
	p.young[name] = e
}

// last returns the end of a name's last binding. Its revision is 0 if none is remembered.
func (p *past) last(name string) end {
	if e, ok := p.young[name]; ok {
		return e
	}
	return p.old[name]
}

func (p *past) forget(name string) {
	delete(p.young, name)
	delete(p.old, name)
}
