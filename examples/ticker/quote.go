package main

import (
	"fmt"
	"strings"
	"time"
)

// Quote is the event: what one share of a company costs. It travels by value.
type Quote struct {
	Symbol string
	Price  Cents
	Open   Cents // the company's first price
	At     time.Time
}

// Cents is an amount of money.
type Cents int64

func (c Cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// Percent is how far the price is from the first one.
func (q Quote) Percent() float64 { return 100 * float64(q.Price-q.Open) / float64(q.Open) }

// quotes is the name of the source of quotes in the registry.
const quotes = "ticker/quotes"

// name returns the name with the registry's URL in front, if there is one.
func name(registry string) string {
	if registry == "" {
		return quotes
	}
	return strings.TrimSuffix(registry, "/") + "/" + quotes
}
