//go:build gc && !rmi_safe

package dynamic

// slotSize is the distance between slots in bytes, which PCALIGN gives. A slot has 10 to 20 bytes.
// That depends on the size of the offset, and on whether jumps are compiled as retpolines (then
// they must be through a register).
const slotSize = 32
