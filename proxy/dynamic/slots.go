//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic

// slotCount is the number of slots of each kind. The macros in slots_amd64.s and slots_arm64.s
// produce so many.
const slotCount = 256

// The addresses of the first slots, defined in assembly. A slot has no Go declaration, because the
// compiler would put a wrapper for the assembly calling convention around it.
var pointerSlots, valueSlots uintptr

// pointerSlot returns the address of the slot for method number i and a pointer to a proxy as
// receiver.
func pointerSlot(i int) uintptr { return pointerSlots + slotSize*uintptr(i) }

// valueSlot returns the address of the slot for method number i and a proxy as receiver.
func valueSlot(i int) uintptr { return valueSlots + slotSize*uintptr(i) }
