package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// WebhookSchema is the version of what a webhook is sent; a change that a
// reader could stumble over raises the first number.
const WebhookSchema = "1.0"

// posted is what a webhook is sent. Text is for chats that show it as it is.
type posted struct {
	SchemaVersion string    `json:"schema_version"`
	Host          string    `json:"host"`
	Topic         string    `json:"topic"`
	Level         Level     `json:"level"`
	Title         string    `json:"title"`
	Time          time.Time `json:"time"`
	Text          string    `json:"text"`
	Items         []Item    `json:"items"`
}

// Webhook posts JSON to an https address. The address may hold a secret, so no
// error repeats more of it than the host. Redirects are not followed: what is
// posted goes where the operator said and nowhere else.
func Webhook(address string, roots *x509.CertPool) Channel {
	return Channel{"webhook", func(ctx context.Context, m Message) error {
		body, err := json.Marshal(posted{WebhookSchema, m.Host, m.Topic, m.Level(), m.Title, m.Time.UTC().Truncate(time.Second),
			strings.Join(append([]string{m.heading()}, m.lines()...), "\n"), m.Items})
		if err != nil {
			return err
		}
		return post(ctx, address, body, roots)
	}}
}

func post(ctx context.Context, address string, body []byte, roots *x509.CertPool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil || request.URL.Scheme != "https" {
		return errors.New("its address is not https://…")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "hostguard")
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		var inside *url.Error // repeats the address
		if errors.As(err, &inside) {
			err = inside.Err
		}
		return fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // what it says is nobody's matter
	switch {
	case response.StatusCode/100 == 2:
		return nil
	case response.StatusCode/100 == 3:
		return fmt.Errorf("%s answered %d: redirects are not followed", request.URL.Host, response.StatusCode)
	}
	return fmt.Errorf("%s answered %d", request.URL.Host, response.StatusCode)
}
