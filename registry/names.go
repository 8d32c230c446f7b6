package registry

import (
	"slices"
	"strings"

	"gormi/refs"
)

// binding is a name and what it is bound to. Once it is in a tree, only its lease changes.
type binding struct {
	name        string
	ref         refs.Ref
	description []byte
	revision    Revision
	lease       *lease      // nil of a permanent one
	by          holder      // who bound it
	instead     refs.NodeID // whose binding it replaced, zero if none
}

// size is what is counted of a binding: the bytes that the peer chose the number of.
func (b *binding) size() int {
	return len(b.name) + len(b.description) + len(b.ref.Interface.Name) + len(b.ref.Endpoint.Host) + len(b.ref.Via.Endpoint.Host)
}

// maxBlock is how many bindings a block of names has before it is split. With a million names there
// are some 3,000 blocks. Adding one moves at most 4 KiB of pointers, and 72 KiB of block headers in
// the rare split.
const maxBlock = 512

// names are bindings in the order of their names: a B-tree of two levels. No block is empty. The
// names of a block come after those of the block before. The zero value is empty.
type names struct {
	blocks [][]*binding
	count  int
}

// find returns where name is, or where it belongs: index of the block (0 if there is none), index
// in it, and whether it is there.
func (n *names) find(name string) (block, at int, ok bool) {
	block, ok = slices.BinarySearchFunc(n.blocks, name, func(b []*binding, name string) int {
		return strings.Compare(b[0].name, name)
	})
	if ok {
		return block, 0, true
	}
	if block > 0 {
		block-- // the last one that begins before name
	}
	if len(n.blocks) > 0 {
		at, ok = slices.BinarySearchFunc(n.blocks[block], name, func(b *binding, name string) int {
			return strings.Compare(b.name, name)
		})
	}
	return block, at, ok
}

// get returns the binding of a name, or nil.
func (n *names) get(name string) *binding {
	if block, at, ok := n.find(name); ok {
		return n.blocks[block][at]
	}
	return nil
}

// put adds a binding, or replaces the one with the same name.
func (n *names) put(b *binding) {
	i, at, ok := n.find(b.name)
	if ok {
		n.blocks[i][at] = b
		return
	}
	n.count++
	if len(n.blocks) == 0 {
		n.blocks = append(n.blocks, []*binding{b})
		return
	}
	block := slices.Insert(n.blocks[i], at, b)
	n.blocks[i] = block
	if len(block) > maxBlock {
		half := len(block) / 2
		// Names often come in order: a copy of the upper half leaves both room to grow.
		n.blocks = slices.Insert(n.blocks, i+1, slices.Clone(block[half:]))
		clear(block[half:])
		n.blocks[i] = block[:half]
	}
}

// remove takes a name out, if it is there.
func (n *names) remove(name string) {
	i, at, ok := n.find(name)
	if !ok {
		return
	}
	n.count--
	n.blocks[i] = slices.Delete(n.blocks[i], at, at+1)
	if len(n.blocks[i]) == 0 {
		n.blocks = slices.Delete(n.blocks, i, i+1)
	}
}

// from calls yield with the bindings in order, beginning at name, or at the next one if name is not
// there, until yield returns false.
func (n *names) from(name string, yield func(*binding) bool) {
	i, at, _ := n.find(name)
	for ; i < len(n.blocks); i, at = i+1, 0 {
		for _, b := range n.blocks[i][at:] {
			if !yield(b) {
				return
			}
		}
	}
}
