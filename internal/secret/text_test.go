package secret

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestTextIsNotShown: whatever prints or encodes a secret, alone or within
// other values, its text is not there.
func TestTextIsNotShown(t *testing.T) {
	t.Parallel()
	type inner struct{ text Text } // unexported: fmt cannot call its methods
	type outer struct {
		Text   Text
		Inner  inner
		List   []Text
		Map    map[string]Text
		Any    any
		hidden *Text
	}
	secret := New("hunter2")
	value := outer{secret, inner{secret}, []Text{secret}, map[string]Text{"k": secret}, secret, &secret}
	var shown []string
	for _, v := range []any{secret, &secret, value, &value, value.Inner, errors.Join(fmt.Errorf("x %v", secret))} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%o", "%c"} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		for _, encode := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal, xml.Marshal} {
			if data, err := encode(v); err == nil {
				shown = append(shown, string(data))
			}
		}
		var b strings.Builder
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		shown = append(shown, b.String())
	}
	for _, s := range shown {
		if strings.Contains(s, "hunter2") || strings.Contains(strings.ToLower(s), "68756e74657232") {
			t.Errorf("shown: %s", s)
		}
	}
	if secret.Reveal() != "hunter2" || !secret.Equal(New("hunter2")) || secret.Equal(Text{}) || !New("").Empty() || secret.Empty() {
		t.Error("the text itself is lost")
	}
}
