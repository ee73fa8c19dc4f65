package host

type connectorFacts struct{}
