package codec

import (
	"fmt"
	"strings"

	"gormi/rmi/fault"
)

// maxCompared bounds the pairs of types that one comparison looks at.
const maxCompared = 1 << 18

// shownMismatches is how many methods the error of Accepts shows.
const shownMismatches = 8

// Accepts returns nil if a program that knows the interface as caller says
// can call an object whose owner knows it as d says. It can if the owner has each of the
// caller's methods, with as many parameters and results, of types that agree. Types agree if
// their kinds are equal, and so on for their parts. Of structs, the fields count that
// both have; of tuples, the positions that both have, with equal names. Names of types make no
// difference. If a remote interface is passed to the owner, the owner calls it. So there the two
// sides change places.
//
// The error is a *fault.Error of kind Mismatch and outcome NotExecuted. It
// shows both signatures of every method that does not fit, and where they first differ.
func (d *Description) Accepts(caller *Description) error {
	var wrong []string
	own := make(map[string]DescribedMethod, len(d.Methods))
	for _, m := range d.Methods {
		own[m.Name] = m
	}
	c := comparison{caller: caller, owner: d, seen: map[comparedPair]bool{}}
	for _, theirs := range caller.Methods {
		mine, ok := own[theirs.Name]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s: the caller has %s, the owner has no such method",
				theirs.Name, caller.signature(theirs, nil)))
			continue
		}
		c.why = ""
		if c.method(caller, d, theirs, mine); c.why != "" {
			wrong = append(wrong, fmt.Sprintf("%s: the caller has %s, the owner has %s: %s", theirs.Name,
				caller.signature(theirs, c.spell[caller]), d.signature(mine, c.spell[d]), c.why))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	if more := len(wrong) - shownMismatches; more > 0 {
		wrong = append(wrong[:shownMismatches], fmt.Sprintf("and %d more", more))
	}
	return fault.New(fault.KindMismatch, fault.OutcomeNotExecuted, "the caller's %s does not fit the owner's %s:\n%s",
		fault.Brief(caller.Name), fault.Brief(d.Name), strings.Join(wrong, "\n"))
}

// A comparison walks two descriptions side by side, up to the first difference in each method. A
// pair of types that was compared before counts as equal, because its difference was reported
// there.
type comparison struct {
	caller, owner *Description // of the whole comparison, for words
	seen          map[comparedPair]bool
	path          []comparedStep
	// why says where the first difference is and what it is.
	why string
	// spell has the types on the way to it, which are to be written out, and which of their members
	// lead there.
	spell map[*Description]map[int][]string
}

// A comparedPair is two types, one of them in the caller's description.
type comparedPair struct {
	user               *Description
	userType, provType int
}

type comparedStep struct {
	text       string
	user, prov *Description
	pair       [2]int // the types that are entered; -1 for methods
}

// differ notes the first difference.
func (c *comparison) differ(user, prov *Description, ofUser, ofProv string) {
	if c.why != "" {
		return
	}
	if user != c.caller {
		ofUser, ofProv = ofProv, ofUser
	}
	where, entered := "", false
	c.spell = map[*Description]map[int][]string{user: {}, prov: {}}
	for _, s := range c.path {
		if s.pair[0] < 0 {
			where = join(where, s.text) // "argument 1"
		} else if next, ok := strings.CutPrefix(s.text, "."); ok && !entered {
			where = join(where, next)
		} else {
			where += s.text
		}
		entered = s.pair[0] >= 0
		if s.pair[0] >= 0 {
			member := strings.TrimPrefix(s.text, ".")
			c.spell[s.user][s.pair[0]] = append(c.spell[s.user][s.pair[0]], member)
			c.spell[s.prov][s.pair[1]] = append(c.spell[s.prov][s.pair[1]], member)
		}
	}
	c.why = join(where, fmt.Sprintf("%s for the caller, %s for the owner", ofUser, ofProv))
}

// method compares a method of the user, which is the side that calls, with that of the side that
// provides the object.
func (c *comparison) method(user, prov *Description, mu, mp DescribedMethod) {
	if len(mu.Params) != len(mp.Params) {
		c.differ(user, prov, counted(len(mu.Params), "argument"), counted(len(mp.Params), "argument"))
	}
	if len(mu.Results) != len(mp.Results) {
		c.differ(user, prov, counted(len(mu.Results), "result"), counted(len(mp.Results), "result"))
	}
	for i := 0; i < len(mu.Params) && c.why == ""; i++ {
		// If an argument can be called, the side that provides the object calls it.
		c.at(comparedStep{numbered("argument", i), prov, user, [2]int{-1, -1}}, mp.Params[i], mu.Params[i])
	}
	for i := 0; i < len(mu.Results) && c.why == ""; i++ {
		c.at(comparedStep{numbered("result", i), user, prov, [2]int{-1, -1}}, mu.Results[i], mp.Results[i])
	}
}

// at compares two types one step further down.
func (c *comparison) at(s comparedStep, tu, tp int) {
	c.path = append(c.path, s)
	c.types(s.user, s.prov, tu, tp)
	c.path = c.path[:len(c.path)-1]
}

func (c *comparison) types(user, prov *Description, tu, tp int) {
	pair := comparedPair{user, tu, tp}
	if c.why != "" || c.seen[pair] {
		return
	}
	if len(c.seen) == maxCompared {
		c.differ(user, prov, "too many types to compare", "too many types to compare")
		return
	}
	c.seen[pair] = true
	u, p := user.Types[tu], prov.Types[tp]
	down := func(text string, tu, tp int) {
		c.at(comparedStep{text, user, prov, [2]int{pair.userType, pair.provType}}, tu, tp)
	}
	if u.Kind != p.Kind || u.Len != p.Len && (u.Kind == KindArray || u.Kind == KindByteArray) {
		c.differ(user, prov, c.text(user, tu, u, p), c.text(prov, tp, p, u))
		return
	}
	switch u.Kind {
	case KindList, KindArray:
		down("[]", u.Elem, p.Elem)
	case KindMap:
		down("[key]", u.Key, p.Key)
		down("[]", u.Elem, p.Elem)
	case KindStruct:
		provided := make(map[string]int, len(p.Fields))
		for _, f := range p.Fields {
			provided[f.Name] = f.Type
		}
		for _, f := range u.Fields {
			if t, ok := provided[f.Name]; ok {
				down("."+f.Name, f.Type, t)
			}
		}
	case KindTuple:
		for i := range min(len(u.Fields), len(p.Fields)) {
			if uf, pf := u.Fields[i].Name, p.Fields[i].Name; uf != pf {
				where := numbered("field", i)
				c.path = append(c.path, comparedStep{"." + where, user, prov, [2]int{tu, tp}})
				c.differ(user, prov, uf, pf)
				c.path = c.path[:len(c.path)-1]
				return
			}
			down("."+u.Fields[i].Name, u.Fields[i].Type, p.Fields[i].Type)
		}
	case KindRemote:
		provided := make(map[string]DescribedMethod, len(p.Methods))
		for _, m := range p.Methods {
			provided[m.Name] = m
		}
		for _, m := range u.Methods {
			c.path = append(c.path, comparedStep{"." + m.Name, user, prov, [2]int{tu, tp}})
			if has, ok := provided[m.Name]; ok {
				c.method(user, prov, m, has)
			} else {
				c.differ(user, prov, user.signature(m, nil), "no such method")
			}
			c.path = c.path[:len(c.path)-1]
		}
	}
}

// text names a type and, where its name hides what it is, its kind.
func (c *comparison) text(d *Description, at int, t, other DescribedType) string {
	text := d.typeText(at)
	if t.Name != "" && t.Kind != other.Kind {
		text += " (a " + t.Kind.String() + ")"
	}
	return text
}
