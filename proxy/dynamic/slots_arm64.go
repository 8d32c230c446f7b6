//go:build gc && !rmi_safe

package dynamic

// slotSize is the distance between slots in bytes: four instructions.
const slotSize = 16
