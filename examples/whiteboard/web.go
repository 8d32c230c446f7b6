package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"gormi/rmi"
)

//go:embed page
var embedded embed.FS

const (
	maxBody  = 32 << 10        // bytes of a request: a stroke of maxPoints takes 12 KiB
	patience = 5 * time.Second // for a call of the server, and for a browser to read an update
)

// web serves the page of a gateway:
//
//	GET /              the page and its parts
//	GET /events        the board and its changes, as server-sent events that each hold an update
//	POST /shapes       draws a GraphicalObject; returns a drawn
//	DELETE /shapes/ID  removes a shape
//	DELETE /shapes     clears the board
//
// Whoever is on this machine is let in, and a browser there may act for any site that it visits. So
// web refuses requests from another site's page, by Origin and by Sec-Fetch-Site, and requests that
// came by another site's name (DNS rebinding), by Host.
type web struct {
	gateway *gateway
	l       net.Listener
	hosts   map[string]bool // "host:port" of this server, as browsers may say it
	ending  chan struct{}   // closed when the streams of events shall end
}

func newWeb(g *gateway, l net.Listener) *web {
	w := &web{gateway: g, l: l, hosts: make(map[string]bool), ending: make(chan struct{})}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		w.hosts[net.JoinHostPort(host, port)] = true
	}
	w.hosts[l.Addr().String()] = true // another address of loopback
	return w
}

func (w *web) url() string { return "http://" + w.l.Addr().String() + "/" }

// run serves, and follows the board, until ctx ends.
func (w *web) run(ctx context.Context) error {
	server := &http.Server{
		Handler:           w.handler(),
		ReadHeaderTimeout: patience,
		ReadTimeout:       patience,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.Default(),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { w.gateway.follow(ctx) }) // ends with ctx
	served := make(chan error, 1)
	go func() { served <- server.Serve(w.l) }() // ends with Shutdown or Close
	select {
	case err := <-served:
		cancel()
		return err
	case <-ctx.Done():
	}
	close(w.ending)
	soon, cancel2 := context.WithTimeout(context.Background(), patience)
	defer cancel2()
	err := server.Shutdown(soon)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-served
	return err
}

func (w *web) handler() http.Handler {
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /events", w.events)
	mux.HandleFunc("POST /shapes", w.draw)
	mux.HandleFunc("DELETE /shapes/{id}", func(rw http.ResponseWriter, r *http.Request) {
		w.answer(rw, r, func(ctx context.Context) error { return w.gateway.remove(ctx, r.PathValue("id")) })
	})
	mux.HandleFunc("DELETE /shapes", func(rw http.ResponseWriter, r *http.Request) { w.answer(rw, r, w.gateway.clear) })
	return w.guard(mux)
}

// guard lets only this server's own page in, and sets the headers of every answer.
func (w *web) guard(next http.Handler) http.Handler {
	own := http.NewCrossOriginProtection().Handler(next) // for methods that change something
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !w.hosts[strings.ToLower(r.Host)] {
			http.Error(rw, "This whiteboard is at "+w.url(), http.StatusMisdirectedRequest)
			return
		}
		if o := r.Header.Get("Origin"); o != "" && o != "http://"+strings.ToLower(r.Host) {
			http.Error(rw, "Pages of other sites are not let in.", http.StatusForbidden)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); r.URL.Path == "/events" && site != "" && site != "same-origin" {
			http.Error(rw, "Pages of other sites are not let in.", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		own.ServeHTTP(rw, r)
	})
}

// events is a page's stream of updates, until the page is closed, is too slow, or the gateway ends.
func (w *web) events(rw http.ResponseWriter, r *http.Request) {
	p, err := w.gateway.join()
	if err != nil {
		http.Error(rw, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer w.gateway.leave(p)
	rw.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(rw)
	control.SetReadDeadline(time.Time{}) // the server's would end the stream
	io.WriteString(rw, "retry: 500\n\n") // ms, until the browser connects again
	for {
		select {
		case b, ok := <-p.updates:
			if !ok {
				return
			}
			control.SetWriteDeadline(time.Now().Add(patience))
			if _, err := fmt.Fprintf(rw, "data: %s\n\n", b); err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-w.ending:
			return
		}
	}
}

func (w *web) draw(rw http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		http.Error(rw, "A shape is application/json.", http.StatusUnsupportedMediaType)
		return
	}
	var o GraphicalObject
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&o)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is more behind the shape")
			if _, large := errors.AsType[*http.MaxBytesError](more); large {
				err = more
			}
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		http.Error(rw, "The shape is too large.", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(rw, "The shape cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	shape, err := w.gateway.draw(ctx, o)
	if err != nil {
		fail(rw, err)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusCreated)
	json.NewEncoder(rw).Encode(shape)
}

// answer makes a change that has no result.
func (w *web) answer(rw http.ResponseWriter, r *http.Request, change func(context.Context) error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := change(ctx); err != nil {
		fail(rw, err)
		return
	}
	rw.WriteHeader(http.StatusNoContent)
}

// fail answers with what went wrong, in the board's own words if the error is the board's.
func fail(rw http.ResponseWriter, err error) {
	for _, e := range []struct {
		is     error
		status int
	}{
		{errFull, http.StatusConflict},
		{errNoShape, http.StatusNotFound},
		{errOffline, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, e.is) {
			http.Error(rw, e.is.Error(), e.status)
			return
		}
	}
	status := http.StatusBadGateway
	switch {
	case errors.Is(err, errBadShape):
		status = http.StatusBadRequest
	case errors.Is(err, rmi.KindDeadline):
		status = http.StatusGatewayTimeout
	}
	http.Error(rw, err.Error(), status)
}
