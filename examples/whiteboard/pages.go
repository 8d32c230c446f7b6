package main

import (
	"encoding/json"
	"errors"
)

// Bounds of what pages can make the gateway hold.
const (
	maxPages    = 64
	pageBacklog = 2 * maxPages // updates that may wait for one page; each page that opens or closes makes one
)

var errPages = errors.New("too many pages are open")

// pages are the open pages of a gateway, whose mutex guards them.
type pages map[*page]bool

// page is an open page. Its channel is closed when the page was too slow; the browser then connects
// again, and begins with the whole board.
type page struct {
	updates chan []byte
}

// update is what a page is told. It always has the status.
type update struct {
	Reset   bool       `json:"reset,omitempty"` // forget all shapes first
	Added   []*picture `json:"added,omitempty"`
	Removed []string   `json:"removed,omitempty"` // ids
	status
	Pages int `json:"pages"` // that are open at this gateway
}

// join opens a page. Its first update is the whole board. Every change after it follows.
func (g *gateway) join() (*page, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pages) == maxPages {
		return nil, errPages
	}
	if g.pages == nil {
		g.pages = make(pages)
	}
	p := &page{make(chan []byte, pageBacklog)}
	g.pages[p] = true
	p.updates <- g.encode(&update{Reset: true, Added: g.shapes})
	g.tell(new(update)) // there is one page more
	return p, nil
}

func (g *gateway) leave(p *page) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pages[p] {
		delete(g.pages, p)
		g.tell(new(update))
	}
}

// tell sends an update to the pages. g.mu is held. A page that cannot take it is dropped; the
// others learn that with the next update.
func (g *gateway) tell(u *update) {
	b := g.encode(u)
	for p := range g.pages {
		select {
		case p.updates <- b:
		default:
			close(p.updates)
			delete(g.pages, p)
		}
	}
}

// encode completes an update with the status and encodes it. g.mu is held.
func (g *gateway) encode(u *update) []byte {
	u.status, u.Pages = g.status, len(g.pages)
	b, err := json.Marshal(u)
	if err != nil {
		panic(err) // strings, numbers and slices of them can always be marshalled
	}
	return b
}
