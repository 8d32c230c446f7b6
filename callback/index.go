package callback

import (
	"path"
	"slices"
	"strings"
)

// index finds the groups that want an event by its key. An event costs nothing
// for groups that wait for other exact keys, and one match for each different
// pattern, whatever the number of peers that asked for it.
type index[E any] struct {
	groups   map[*group[E]]struct{}
	all      []*group[E]
	exact    map[string][]*group[E]
	patterns []*matcher[E]
	slow     bool // a group with the policy Disconnect overflowed
}

type matcher[E any] struct {
	pattern string
	groups  []*group[E]
}

// isPattern reports whether path.Match gives a meaning to characters of a string.
func isPattern(s string) bool { return strings.ContainsAny(s, `*?[\`) }

func (x *index[E]) add(g *group[E]) {
	if x.groups == nil {
		x.groups = make(map[*group[E]]struct{})
		x.exact = make(map[string][]*group[E])
	}
	x.groups[g] = struct{}{}
	switch {
	case g.match == "":
		x.all = append(x.all, g)
	case !isPattern(g.match):
		x.exact[g.match] = append(x.exact[g.match], g)
	default:
		for _, m := range x.patterns {
			if m.pattern == g.match {
				m.groups = append(m.groups, g)
				return
			}
		}
		x.patterns = append(x.patterns, &matcher[E]{g.match, []*group[E]{g}})
	}
}

// remove reports whether g was in the index.
func (x *index[E]) remove(g *group[E]) bool {
	if _, ok := x.groups[g]; !ok {
		return false
	}
	delete(x.groups, g)
	switch {
	case g.match == "":
		x.all = without(x.all, g)
	case !isPattern(g.match):
		if left := without(x.exact[g.match], g); len(left) > 0 {
			x.exact[g.match] = left
		} else {
			delete(x.exact, g.match)
		}
	default:
		for i, m := range x.patterns {
			if m.pattern == g.match {
				if m.groups = without(m.groups, g); len(m.groups) == 0 {
					x.patterns = slices.Delete(x.patterns, i, i+1)
				}
				break
			}
		}
	}
	return true
}

// without removes g; order does not matter.
func without[T comparable](list []T, g T) []T {
	if i := slices.Index(list, g); i >= 0 {
		n := len(list) - 1
		list[i] = list[n]
		clear(list[n:])
		return list[:n]
	}
	return list
}

// each calls f for the groups that want an event with a key.
func (x *index[E]) each(key string, f func(*group[E])) {
	for _, g := range x.all {
		f(g)
	}
	for _, g := range x.exact[key] {
		f(g)
	}
	for _, m := range x.patterns {
		if ok, _ := path.Match(m.pattern, key); ok {
			for _, g := range m.groups {
				f(g)
			}
		}
	}
}
