//go:build gc && !rmi_safe

#include "textflag.h"
#include "go_asm.h"

// A slot is entered in place of a method and becomes its closure. It loads function value i of its
// receiver's class into DX, where Go code expects its closure, and jumps to its code. Only DX and
// R12 change. R12 is free at function entry in Go's internal calling convention, and no caller of a
// method sets DX.
//
// Only reflect can produce a receiver without entries. Then the load of the function value faults
// at an address below 4096: an ordinary nil dereference panic.

// The receiver is a pointer to a proxy, in the first integer register.
#define POINTER(i) \
	PCALIGN	$32; \
	MOVQ	proxy_entries(AX), R12; \
	MOVQ	(entry__size*(i)+entry_byPointer)(R12), DX; \
	MOVQ	(DX), R12; \
	JMP	R12

// The receiver is a proxy: seven words in the first seven integer registers, of which the third is
// entries.
#define VALUE(i) \
	PCALIGN	$32; \
	MOVQ	(entry__size*(i)+entry_byValue)(CX), DX; \
	MOVQ	(DX), R12; \
	JMP	R12

#define POINTER4(i)	POINTER(i); POINTER((i)+1); POINTER((i)+2); POINTER((i)+3)
#define POINTER16(i)	POINTER4(i); POINTER4((i)+4); POINTER4((i)+8); POINTER4((i)+12)
#define POINTER64(i)	POINTER16(i); POINTER16((i)+16); POINTER16((i)+32); POINTER16((i)+48)

#define VALUE4(i)	VALUE(i); VALUE((i)+1); VALUE((i)+2); VALUE((i)+3)
#define VALUE16(i)	VALUE4(i); VALUE4((i)+4); VALUE4((i)+8); VALUE4((i)+12)
#define VALUE64(i)	VALUE16(i); VALUE16((i)+16); VALUE16((i)+32); VALUE16((i)+48)

// The instruction at the end marks it: the check of the spacing at start looks where it is.

TEXT dynamicPointerSlots<>(SB), NOSPLIT|NOFRAME, $0-0
	POINTER64(0)
	POINTER64(64)
	POINTER64(128)
	POINTER64(192)
	PCALIGN	$32
	UNDEF

TEXT dynamicValueSlots<>(SB), NOSPLIT|NOFRAME, $0-0
	VALUE64(0)
	VALUE64(64)
	VALUE64(128)
	VALUE64(192)
	PCALIGN	$32
	UNDEF

DATA	·pointerSlots(SB)/8, $dynamicPointerSlots<>(SB)
GLOBL	·pointerSlots(SB), RODATA, $8

DATA	·valueSlots(SB)/8, $dynamicValueSlots<>(SB)
GLOBL	·valueSlots(SB), RODATA, $8
