//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic

import (
	"fmt"
	"reflect"
	"unsafe"
)

// The types below mirror internal/abi: the part of a struct type's descriptor that is looked at.

// typeHeader is abi.StructType: abi.Type (48 bytes on 64-bit machines), PkgPath, Fields.
type typeHeader [48 + 8 + 24]byte

// uncommon is abi.UncommonType, which lies behind the header.
type uncommon struct {
	pkgPath int32
	mcount  uint16 // methods
	xcount  uint16 // exported methods
	moff    uint32 // from the start of the uncommon to the rows
	_       uint32
}

// row is abi.Method. The numbers are offsets into the program for compiled types; for types made by reflect they are
// negative and come from addReflectOff.
type row struct {
	name int32
	mtyp int32 // type without receiver
	ifn  int32 // code for a call through an interface
	tfn  int32 // code for a call as function with the struct as first parameter
}

// addReflectOff returns the number by which a descriptor made at run time refers to ptr: always the same for the same
// pointer. It keeps ptr for ever.
//
//go:linkname addReflectOff reflect.addReflectOff
//go:noescape
func addReflectOff(ptr unsafe.Pointer) int32

// descriptor returns the address of t's descriptor: the data word of the interface value t.
func descriptor(t reflect.Type) unsafe.Pointer {
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1]
}

// code returns the address of the code that reflect finds for method number i of the struct type s (its Tfn), and the
// method's name.
func code(s reflect.Type, i int) (pc uintptr, name string) {
	m := s.Method(i)
	return m.Func.Pointer(), m.Name
}

// codeNumber returns addReflectOff's number for the code at pc.
func codeNumber(pc uintptr) int32 {
	return addReflectOff(*(*unsafe.Pointer)(unsafe.Pointer(&pc)))
}

// methodTable finds the rows of the struct type s, which embeds the interface type t and is fresh from
// reflect.StructOf. It returns an error unless every field of every row has the one value that it must have: then the
// layout is the one mirrored above, and the rows are in memory that reflect allocated.
func methodTable(s, t reflect.Type) ([]row, error) {
	n := t.NumMethod()
	if s.NumMethod() != n || s.Size() != unsafe.Sizeof(proxy{}) {
		return nil, fmt.Errorf("reflect made a struct type of %d methods and %d bytes instead of %d and %d",
			s.NumMethod(), s.Size(), n, unsafe.Sizeof(proxy{}))
	}
	base := descriptor(s)
	if zero := reflect.Zero(s).Interface(); (*[2]unsafe.Pointer)(unsafe.Pointer(&zero))[0] != base {
		return nil, fmt.Errorf("the descriptor of a type is not where it is looked for")
	}
	u := (*uncommon)(unsafe.Add(base, unsafe.Sizeof(typeHeader{})))
	if int(u.mcount) != n || int(u.xcount) != n || uintptr(u.moff) != unsafe.Sizeof(uncommon{}) {
		return nil, fmt.Errorf("the method table of a type has another layout (%d, %d and %d instead of %d, %[4]d and %d)",
			u.mcount, u.xcount, u.moff, n, unsafe.Sizeof(uncommon{}))
	}
	rows := unsafe.Slice((*row)(unsafe.Add(unsafe.Pointer(u), unsafe.Sizeof(uncommon{}))), n)
	for i, r := range rows {
		m := t.Method(i)
		pc, name := code(s, i)
		stub := codeNumber(pc)
		if name != m.Name {
			return nil, fmt.Errorf("method %d is %s in the interface type and %s in the struct type", i, m.Name, name)
		}
		if r.name >= 0 || r.mtyp != addReflectOff(descriptor(m.Type)) || r.ifn != stub || r.tfn != stub || stub >= -1 {
			return nil, fmt.Errorf("the row of method %s in the method table has another layout", name)
		}
	}
	return rows, nil
}

// redirect makes the rows of the struct type s refer to the slots. On failure they are as before.
func redirect(s reflect.Type, rows []row) error {
	before := append([]row(nil), rows...)
	for i := range rows {
		rows[i].ifn = codeNumber(pointerSlot(i))
		rows[i].tfn = codeNumber(valueSlot(i))
	}
	for i := range rows {
		if pc, name := code(s, i); pc != valueSlot(i) {
			copy(rows, before)
			return fmt.Errorf("a change to the row of method %s in the method table had no effect", name)
		}
	}
	return nil
}
