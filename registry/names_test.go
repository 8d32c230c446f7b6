package registry

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// all is what n holds, from a name on.
func (n *names) all(from string) []string {
	var s []string
	n.from(from, func(b *binding) bool { s = append(s, b.name); return true })
	return s
}

func TestNamesAreAnOrderedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n names
		model := map[string]*binding{}
		name := rapid.StringMatching("[a-c]{1,4}")
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				b := &binding{name: name.Draw(t, "name")}
				n.put(b)
				model[b.name] = b
			},
			"remove": func(t *rapid.T) {
				s := name.Draw(t, "name")
				n.remove(s)
				delete(model, s)
			},
			"get": func(t *rapid.T) {
				s := name.Draw(t, "name")
				if n.get(s) != model[s] {
					t.Fatalf("%q: got %v, want %v", s, n.get(s), model[s])
				}
			},
			"": func(t *rapid.T) {
				want := slices.Sorted(maps.Keys(model))
				if n.count != len(want) || !slices.Equal(n.all(""), want) {
					t.Fatalf("got %d, %v, want %v", n.count, n.all(""), want)
				}
				from := name.Draw(t, "from")
				at, _ := slices.BinarySearch(want, from)
				if !slices.Equal(n.all(from), want[at:]) {
					t.Fatalf("from %q: got %v, want %v", from, n.all(from), want[at:])
				}
			},
		})
	})
}

func TestNamesInManyBlocks(t *testing.T) {
	const count = 20 * maxBlock
	for _, order := range []string{"up", "down", "random"} {
		var n names
		keys := rand.New(rand.NewPCG(1, 2)).Perm(count)
		if order != "random" {
			slices.Sort(keys)
		}
		if order == "down" {
			slices.Reverse(keys)
		}
		var want []string
		for _, k := range keys {
			n.put(&binding{name: fmt.Sprintf("n%06d", k)})
			want = append(want, fmt.Sprintf("n%06d", k))
		}
		slices.Sort(want)
		if !slices.Equal(n.all(""), want) || n.count != count {
			t.Fatalf("%s: the names are not in order", order)
		}
		for _, b := range n.blocks { // to add a name moves no more than these
			if len(b) == 0 || len(b) > maxBlock {
				t.Fatalf("%s: a block of %d names", order, len(b))
			}
		}
		for i, name := range want {
			if b := n.get(name); b == nil || b.name != name {
				t.Fatalf("%s: %s is lost", order, name)
			}
			if i%3 != 0 {
				n.remove(name)
			}
		}
		want = slices.DeleteFunc(want, func(s string) bool { return n.get(s) == nil })
		if !slices.Equal(n.all(""), want) || n.count != len(want) || len(want) != (count+2)/3 {
			t.Fatalf("%s: after removals %d names are left, in order: %v", order, n.count, slices.IsSorted(n.all("")))
		}
		for _, name := range want {
			n.remove(name)
		}
		if n.count != 0 || len(n.blocks) != 0 {
			t.Fatalf("%s: %d names and %d blocks are left of nothing", order, n.count, len(n.blocks))
		}
	}
}

func BenchmarkBindAMillionNames(b *testing.B) {
	var n names
	for b.Loop() {
		n.put(&binding{name: fmt.Sprintf("n%06d", rand.IntN(1_000_000))})
	}
}
