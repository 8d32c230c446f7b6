//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"
)

// The types below mirror internal/abi: the parts of a struct type's descriptor that are used here.

// typeHeader is abi.StructType: abi.Type (48 bytes on 64-bit machines), PkgPath, Fields.
type typeHeader struct {
	_     [20]byte
	tflag uint8 // with tflagNamed
	_     [19]byte
	str   int32 // number of the type's name
	_     [4 + 8 + 24]byte
}

// tflagNamed is abi.TFlagNamed: the type's string is a name.
const tflagNamed = 1 << 2

// uncommon is abi.UncommonType, which lies behind the header.
type uncommon struct {
	pkgPath int32
	mcount  uint16 // methods
	xcount  uint16 // exported methods
	moff    uint32 // from the start of the uncommon to the rows
	_       uint32
}

// row is abi.Method. For compiled types the numbers are offsets into the program. For types made by
// reflect they are negative and come from addReflectOff.
type row struct {
	name int32
	mtyp int32 // type without receiver
	ifn  int32 // code for a call through an interface
	tfn  int32 // code for a call as function with the struct as first parameter
}

// addReflectOff returns the number by which a descriptor made at run time refers to ptr. It is
// always the same for the same pointer. addReflectOff keeps ptr for ever.
//
//go:linkname addReflectOff reflect.addReflectOff
//go:noescape
func addReflectOff(ptr unsafe.Pointer) int32

// descriptor returns the address of t's descriptor: the data word of the interface value t.
func descriptor(t reflect.Type) unsafe.Pointer {
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1]
}

// code returns the address of the code that reflect finds for method number i of the struct type s
// (its Tfn), and the method's name.
func code(s reflect.Type, i int) (pc uintptr, name string) {
	m := s.Method(i)
	return m.Func.Pointer(), m.Name
}

// codeNumber returns addReflectOff's number for the code at pc.
func codeNumber(pc uintptr) int32 {
	return addReflectOff(*(*unsafe.Pointer)(unsafe.Pointer(&pc)))
}

// table is the method table of a struct type.
type table struct {
	counts *uncommon
	rows   []row
}

// methodTable finds the table of the struct type s, which is fresh from reflect.StructOf. s embeds
// the interface type t and Face: the methods of t come first, then those of Face. methodTable
// returns an error unless every field of every row has the one value that it must have. So without
// an error the layout is the one mirrored above, and the rows are in memory that reflect allocated.
func methodTable(s, t reflect.Type) (table, error) {
	own, face := t.NumMethod(), reflect.TypeFor[Face]()
	n := own + face.NumMethod()
	if s.NumMethod() != n || s.Size() != unsafe.Sizeof(proxy{}) {
		return table{}, fmt.Errorf("reflect made a struct type of %d methods and %d bytes instead of %d and %d",
			s.NumMethod(), s.Size(), n, unsafe.Sizeof(proxy{}))
	}
	base := descriptor(s)
	if zero := reflect.Zero(s).Interface(); (*[2]unsafe.Pointer)(unsafe.Pointer(&zero))[0] != base {
		return table{}, fmt.Errorf("the descriptor of a type is not where it is looked for")
	}
	u := (*uncommon)(unsafe.Add(base, unsafe.Sizeof(typeHeader{})))
	if int(u.mcount) != n || int(u.xcount) != n || uintptr(u.moff) != unsafe.Sizeof(uncommon{}) {
		return table{}, fmt.Errorf("the method table of a type has another layout (%d, %d and %d instead of %d, %[4]d and %d)",
			u.mcount, u.xcount, u.moff, n, unsafe.Sizeof(uncommon{}))
	}
	rows := unsafe.Slice((*row)(unsafe.Add(unsafe.Pointer(u), unsafe.Sizeof(uncommon{}))), n)
	for i, r := range rows {
		var m reflect.Method
		if i < own {
			m = t.Method(i)
		} else {
			m = face.Method(i - own)
		}
		pc, name := code(s, i)
		stub := codeNumber(pc)
		if name != m.Name {
			return table{}, fmt.Errorf("method %d is %s in the interface type and %s in the struct type", i, m.Name, name)
		}
		if r.name >= 0 || r.mtyp != addReflectOff(descriptor(m.Type)) || r.ifn != stub || r.tfn != stub || stub >= -1 {
			return table{}, fmt.Errorf("the row of method %s in the method table has another layout", name)
		}
	}
	return table{u, rows}, nil
}

// redirect makes the rows of t's methods refer to the slots, and those of Face to the methods of
// proxy. It sorts the rows by name, as the runtime needs them, and leaves out those of Face that t
// does not lack. On failure the table is as before.
func (tab table) redirect(s, t reflect.Type) error {
	own := t.NumMethod()
	type target struct {
		row
		name           string
		pointer, value uintptr
	}
	var targets []target
	for i, r := range tab.rows {
		if i < own {
			targets = append(targets, target{r, t.Method(i).Name, pointerSlot(i), valueSlot(i)})
			continue
		}
		name := reflect.TypeFor[Face]().Method(i - own).Name
		if !lacks(t, name) {
			continue
		}
		byPointer, _ := reflect.TypeFor[*proxy]().MethodByName(name)
		byValue, _ := reflect.TypeFor[proxy]().MethodByName(name)
		targets = append(targets, target{r, name, byPointer.Func.Pointer(), byValue.Func.Pointer()})
	}
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.name, b.name) })

	before, counts := slices.Clone(tab.rows), *tab.counts
	for i, to := range targets {
		to.ifn, to.tfn = codeNumber(to.pointer), codeNumber(to.value)
		tab.rows[i] = to.row
	}
	tab.counts.mcount, tab.counts.xcount = uint16(len(targets)), uint16(len(targets))
	failed := func(what, name string) error {
		copy(tab.rows, before)
		*tab.counts = counts
		return fmt.Errorf("a change to %s in the method table had no effect", what+name)
	}
	if s.NumMethod() != len(targets) {
		return failed("the number of methods", "")
	}
	for i, to := range targets {
		if pc, name := code(s, i); pc != to.value || name != to.name {
			return failed("the row of method ", to.name)
		}
	}
	return nil
}

// lacks reports whether proxies of t need Face's method of a name. A Format would keep package fmt
// from a String or Error of t's own.
func lacks(t reflect.Type, name string) bool {
	if name == "Format" && (t.Implements(reflect.TypeFor[fmt.Stringer]()) || t.Implements(reflect.TypeFor[error]())) {
		return false
	}
	_, has := t.MethodByName(name)
	return !has
}

// names keeps the names of setName off the stack; guarded by making.
var names [][]byte

// setName makes the struct type s, whose method table was found, print as name. That is for people
// (%T, panics and the errors of encoders). It is also for package encoding/xml, which needs a name
// of types that marshal. On failure s keeps its own string.
func setName(s reflect.Type, name string) {
	h := (*typeHeader)(descriptor(s))
	before := *h
	if s.Name() != "" || h.tflag&tflagNamed != 0 || h.str >= -1 {
		return
	}
	// abi.Name: flags (1: exported), length, bytes.
	b := append(binary.AppendUvarint([]byte{1}, uint64(len(name))), name...)
	names = append(names, b)
	h.str = addReflectOff(unsafe.Pointer(&b[0]))
	h.tflag |= tflagNamed
	if s.String() != name || s.Name() == "" || s.Kind() != reflect.Struct {
		*h = before
	}
}
