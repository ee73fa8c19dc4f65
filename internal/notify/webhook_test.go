package notify

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func roots(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	var got posted
	var kind string
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		kind = r.Method + " " + r.Header.Get("Content-Type")
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	if err := Deliver(t.Context(), []Delivery{{Webhook(server.URL+"/hook/T0KEN", roots(server)), message(full)}}, 10*time.Second)[0]; err != nil {
		t.Fatal(err)
	}
	if got.SchemaVersion != WebhookSchema || got.Level != Critical || got.Host != "tc-1.example.org" || len(got.Items) != 1 || got.Items[0] != full ||
		!strings.Contains(got.Text, full.Text) || kind != "POST application/json" {
		t.Errorf("posted %q %+v", kind, got)
	}
}

// What a webhook may do wrong. No error repeats the secret in its address.
func TestWebhookThatIsBad(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var elsewhere atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch r.URL.Query().Get("do") {
		case "hang":
			<-hang
		case "redirect":
			http.Redirect(w, r, other.URL+"/stolen", http.StatusTemporaryRedirect)
		case "500":
			w.WriteHeader(500)
		case "10MB":
			for range 10 {
				w.Write(make([]byte, 1<<20))
			}
		case "headers":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		case "drip":
			for {
				if _, err := w.Write([]byte("x")); err != nil || r.Context().Err() != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-hang:
					return
				case <-r.Context().Done():
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
	}))
	defer server.Close()
	defer close(hang)
	for name, tt := range map[string]struct{ address, want string }{
		"hangs":               {server.URL + "/S3CRET?do=hang", "no answer within"},
		"redirects":           {server.URL + "/S3CRET?do=redirect", "answered 307: redirects are not followed"},
		"says no":             {server.URL + "/S3CRET?do=500", "answered 500"},
		"says 10 MB":          {server.URL + "/S3CRET?do=10MB", ""},
		"says 1 MB of header": {server.URL + "/S3CRET?do=headers", "cannot notify"},
		"never ends":          {server.URL + "/S3CRET?do=drip", "no answer within"},
		"has another's name":  {strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/S3CRET", "certificate"},
		"is not there":        {"https://127.0.0.1:1/S3CRET", "refused"},
		"has no TLS":          {"http://127.0.0.1:1/S3CRET", "not https"},
		"is no address":       {"https://127.0.0.1:%zz/S3CRET", "not https"},
	} {
		start := time.Now()
		err := Deliver(t.Context(), []Delivery{{Webhook(tt.address, roots(server)), message(full)}}, 700*time.Millisecond)[0]
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, tt.want) || (tt.want == "") != (err == nil) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if strings.Contains(text, "S3CRET") {
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	if elsewhere.Load() > 0 {
		t.Error("the redirect was followed")
	}
}
