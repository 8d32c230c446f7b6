package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Op is something that a peer wants to do. Several are joined by |.
type Op uint8

const (
	Bind Op = 1 << iota
	Rebind
	Unbind
	Lookup
	List
	Watch
	Admin

	// All is all of them.
	All Op = 1<<iota - 1
)

var opNames = []string{"bind", "rebind", "unbind", "lookup", "list", "watch", "admin"}

// String returns the words of a policy, with commas between them.
func (o Op) String() string {
	if o == All {
		return "all"
	}
	var words []string
	for i, name := range opNames {
		if o&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return strings.Join(words, ",")
}

// ParseOp reads one word: one of those of rule 4, or "all".
func ParseOp(s string) (Op, error) {
	if s == "all" {
		return All, nil
	}
	if i := slices.Index(opNames, s); i >= 0 {
		return 1 << i, nil
	}
	return 0, fmt.Errorf("%.64q is nothing that can be allowed: want %s, or all", s, strings.Join(opNames, ", "))
}

// maxName is the length of the longest name.
const maxName = 255

// Anonymous is the principal of those who have none.
const Anonymous = "anonymous"

// Peer is who wants to do something.
type Peer struct {
	Principal string
	Local     bool // on the registry's machine
}

// subject is whom a rule is for: a principal or a group.
type subject int32

const (
	everyone subject = iota
	known
	local
	firstSubject // of those that a text names
)

// Policy is a set of rules. It does not change.
type Policy struct {
	// subjects are what a principal that the text names is: itself, and the groups that it is in.
	subjects map[string][]subject
	exact    map[hash]*scope   // of names
	prefixes map[hash]*scope   // of beginnings of names
	lengths  [maxName + 1]bool // that these have
	some     map[subject]Op    // what some rule allows, for any name
	rules    []rule            // in the order of the text
}

// scope is a name, or the beginning of names, and the rules for it.
type scope struct {
	text   string
	parent *scope    // of a beginning: the longest other beginning of text that there are rules for
	next   *scope    // of the same hash
	rules  []verdict // by subject, each once
}

// verdict is what the rules say of a subject in a scope.
type verdict struct {
	subject     subject
	allow, deny Op
}

// rule is a line of the text, for people.
type rule struct {
	line    int
	text    string
	subject subject
	ops     Op
	names   []string
}

// Rules is how many rules the policy has.
func (p *Policy) Rules() int { return len(p.rules) }

// Allows reports whether a peer may do something, one Op, with a name.
func (p *Policy) Allows(who Peer, op Op, name string) bool {
	own := p.subjects[who.Principal]
	exact, s := p.find(name)
	if exact != nil {
		if allow, said := exact.says(who, own, op); said {
			return allow
		}
	}
	for ; s != nil; s = s.parent {
		if allow, said := s.says(who, own, op); said {
			return allow
		}
	}
	return false
}

// Uniform reports whether all rules are for all names: Allows says the same of each.
func (p *Policy) Uniform() bool {
	return len(p.exact) == 0 && len(p.prefixes) == 1 && p.prefixes[newHash] != nil && p.prefixes[newHash].next == nil
}

// AllowsSome reports whether a rule allows a peer one of several Ops, whatever the name. A rule
// that denies may still take all of it away.
func (p *Policy) AllowsSome(who Peer, ops Op) bool {
	may := p.some[everyone]
	if who.Local {
		may |= p.some[local]
	}
	if who.known() {
		may |= p.some[known]
	}
	for _, s := range p.subjects[who.Principal] {
		may |= p.some[s]
	}
	return may&ops != 0
}

func (p Peer) known() bool { return p.Principal != Anonymous && p.Principal != "" }

// is reports whether a rule for s is for a peer. own are the subjects of its principal.
func (p Peer) is(s subject, own []subject) bool {
	switch s {
	case everyone:
		return true
	case known:
		return p.known()
	case local:
		return p.Local
	}
	return slices.Contains(own, s)
}

// find returns the scope of a name, and that of the longest beginning of it, nil if there are
// no rules for them. It goes over the name once: at each length that a beginning with rules
// has, its hash so far tells whether this may be one.
func (p *Policy) find(name string) (exact, longest *scope) {
	h := newHash
	longest = p.prefixes[h].of("")
	for i := 0; i < len(name); i++ {
		h = h.add(name[i])
		if n := i + 1; n <= maxName && p.lengths[n] {
			if s := p.prefixes[h].of(name[:n]); s != nil {
				longest = s
			}
		}
	}
	return p.exact[h].of(name), longest
}

// of returns the scope of a text among those with one hash.
func (s *scope) of(text string) *scope {
	for s != nil && s.text != text {
		s = s.next
	}
	return s
}

// hash is FNV-1a of the beginning of a name, of 64 bits.
type hash uint64

const newHash hash = 14695981039346656037

func (h hash) add(c byte) hash { return (h ^ hash(c)) * 1099511628211 }

func hashOf(s string) hash {
	h := newHash
	for i := range len(s) {
		h = h.add(s[i])
	}
	return h
}

// says tells what the rules of a scope say, and whether they say anything.
func (s *scope) says(who Peer, own []subject, op Op) (allow, said bool) {
	v := s.on(everyone)
	if who.known() {
		v = v.or(s.on(known))
	}
	if who.Local {
		v = v.or(s.on(local))
	}
	for _, x := range own {
		v = v.or(s.on(x))
	}
	if v.deny&op != 0 {
		return false, true
	}
	return true, v.allow&op != 0
}

func (v verdict) or(w verdict) verdict {
	return verdict{allow: v.allow | w.allow, deny: v.deny | w.deny}
}

// on returns what is said of a subject.
func (s *scope) on(x subject) verdict {
	low, high := 0, len(s.rules)
	for low < high {
		if mid := int(uint(low+high) >> 1); s.rules[mid].subject < x {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(s.rules) && s.rules[low].subject == x {
		return s.rules[low]
	}
	return verdict{}
}

// Explain is Allows with the reason, for people: the line that decides.
func (p *Policy) Explain(who Peer, op Op, name string) (allowed bool, why string) {
	own := p.subjects[who.Principal]
	allowed = p.Allows(who, op, name)
	best, scope := -1, -1
	for i, r := range p.rules {
		if r.ops&op == 0 || !who.is(r.subject, own) || strings.HasPrefix(r.text, "allow") != allowed {
			continue
		}
		for _, n := range r.names {
			reach := -1
			if prefix, ok := strings.CutSuffix(n, "*"); ok && strings.HasPrefix(name, prefix) {
				reach = len(prefix)
			} else if n == name {
				reach = len(n) + 1 // beats the same beginning of a longer name
			}
			if reach > scope {
				best, scope = i, reach
			}
		}
	}
	if best < 0 {
		return allowed, "no rule allows it"
	}
	return allowed, fmt.Sprintf("line %d: %s", p.rules[best].line, p.rules[best].text)
}

// add notes a rule.
func (p *Policy) add(r rule, allow bool, scopes map[string]*scope) {
	p.rules = append(p.rules, r)
	for _, n := range r.names {
		s := scopes[n]
		if s == nil {
			s = &scope{text: strings.TrimSuffix(n, "*")}
			scopes[n] = s
		}
		i, ok := slices.BinarySearchFunc(s.rules, r.subject, func(v verdict, x subject) int { return cmp.Compare(v.subject, x) })
		if !ok {
			s.rules = slices.Insert(s.rules, i, verdict{subject: r.subject})
		}
		if allow {
			s.rules[i].allow |= r.ops
			p.some[r.subject] |= r.ops
		} else {
			s.rules[i].deny |= r.ops
		}
	}
}

// index makes what Allows looks in.
func (p *Policy) index(scopes map[string]*scope) {
	var prefixes []*scope
	for n, s := range scopes {
		all, h := p.exact, hashOf(s.text)
		if strings.HasSuffix(n, "*") {
			all = p.prefixes
			p.lengths[len(s.text)] = true
			prefixes = append(prefixes, s)
		}
		s.next = all[h]
		all[h] = s
	}
	slices.SortFunc(prefixes, func(a, b *scope) int { return strings.Compare(a.text, b.text) })
	var open []*scope // each one begins the next
	for _, s := range prefixes {
		for len(open) > 0 && !strings.HasPrefix(s.text, open[len(open)-1].text) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			s.parent = open[len(open)-1]
		}
		open = append(open, s)
	}
}
