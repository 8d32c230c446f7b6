//go:build gc && !rmi_safe

package dynamic

// slotSize is the distance between slots in bytes, what PCALIGN gives. A slot has 10 to 20 bytes, depending on the size
// of the offset and on whether jumps are compiled as retpolines (for which they have to be through a register).
const slotSize = 32
