#!/bin/sh
# pki.sh DIR: makes the PKI of the stories in a directory: two CAs, an intermediate CA, certificates that are good, and one
# for each way in which they are not.
# pki.sh DIR leaf FILE WHO END: one certificate more of WHO.lab, which ends at END, such as '+30 seconds'.
# pki.sh DIR revoke FILE: revokes a certificate, and makes the intermediate CA's list anew.
# Needs openssl 3.
set -eu
cd "$1"
exec 2>> pki.log
cat > ca.cnf <<'CNF'
[ca]
default_ca = middle
[middle]
database = index.txt
serial = serial
new_certs_dir = .
certificate = middle.pem
private_key = middle.key
default_md = sha256
default_days = 365
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = none
[root]
database = root.txt
certificate = root.pem
private_key = root.key
default_md = sha256
default_crl_days = 30
[any]
countryName = optional
organizationName = optional
commonName = supplied
CNF
ca_extensions="basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash"
root() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 3650 -subj "/O=Lab/CN=$1" \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
}
key() {
    case $1 in
    rsa) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 ;;
    ecdsa) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ;;
    ecdsa384) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 ;;
    ecdsa521) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 ;;
    ed25519) openssl genpkey -algorithm ed25519 ;;
    esac > "$2"
    chmod 600 "$2"
}
# leaf FILE KIND WHO BEGIN END [EXTENSION]: a certificate of WHO.lab below the intermediate CA.
leaf() {
    key "$2" "$1.key"
    openssl req -new -key "$1.key" -subj "/O=Lab/CN=$3.lab" -out "$1.csr"
    printf 'subjectAltName=DNS:%s.lab\nkeyUsage=digitalSignature\n%s\n' "$3" "${6:-extendedKeyUsage=serverAuth,clientAuth}" > "$1.ext"
    openssl ca -batch -config ca.cnf -in "$1.csr" -out "$1.pem" -extfile "$1.ext" -startdate "$4" -enddate "$5" -notext
}
day() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
list() { openssl ca -config ca.cnf -gencrl -out middle.crl; }
case ${2:-all} in
leaf)
    leaf "$3" ecdsa "$4" "$(day '-1 day')" "$(day "$5")"
    exit ;;
revoke)
    openssl ca -config ca.cnf -revoke "$3.pem" -crl_reason keyCompromise
    list
    exit ;;
esac
: > index.txt
: > root.txt
echo 1000 > serial
root root
root stranger
openssl req -newkey rsa:2048 -nodes -keyout middle.key -subj "/O=Lab/CN=middle" -out middle.csr
printf '%s\n' "$ca_extensions" > middle.ext
openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 3650 -extfile middle.ext -out middle.pem
past=$(day '-2 days') yesterday=$(day '-1 day') tomorrow=$(day '+1 day') later=$(day '+100 days')
for kind in rsa ecdsa ecdsa384 ecdsa521 ed25519; do
    for who in carol moon; do leaf "$who-$kind" "$kind" "$who" "$yesterday" "$later"; done
done
for who in carol moon; do
    leaf "$who-expired" ecdsa "$who" "$past" "$yesterday"
    leaf "$who-early" ecdsa "$who" "$tomorrow" "$later"
    leaf "$who-revoked" ecdsa "$who" "$yesterday" "$later"
    leaf "$who-mallory" ecdsa mallory "$yesterday" "$later"
    leaf "$who-noeku" ecdsa "$who" "$yesterday" "$later" "extendedKeyUsage=codeSigning"
    key ecdsa "$who-stranger.key"
    openssl req -new -key "$who-stranger.key" -subj "/O=Lab/CN=$who.lab" -out "$who-stranger.csr"
    cp "$who-ecdsa.ext" "$who-stranger.ext"
    openssl x509 -req -in "$who-stranger.csr" -CA stranger.pem -CAkey stranger.key -CAcreateserial -days 100 \
        -extfile "$who-stranger.ext" -out "$who-stranger.pem"
    openssl ca -config ca.cnf -revoke "$who-revoked.pem" -crl_reason keyCompromise
done
openssl ca -config ca.cnf -name root -gencrl -out root.crl
list
