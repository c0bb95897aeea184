"""Words by which `model adopt` knows what a column is about. Add your own, in lower case, without accents."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


# In the name of a column: groups whose treatment is to be watched.
SENSITIVE = _phrases("""
    sex, gender, geschlecht, sexe, sexo, genero, sesso, geslacht, plec, female, male, пол, 性别, 性別, 성별,
    race, raza, raca, ethnicity, ethnic, ethnie, ethnizitat, etnia, hautfarbe, skin color, skin colour, caste,
    religion, faith, konfession, religione, religiao, disability, disabled, handicapped, behinderung, discapacidad,
    disabilita, nationality, nationalitat, nationalite, nacionalidad, nacionalidade, nazionalita,
    staatsangehorigkeit, sexual orientation, political affiliation, political party, indigenous, transgender
""")

# In the name of a column: what may stand in for such a group.
PROXIES = _phrases("""
    age, alter, edad, idade, date of birth, birth date, birthdate, dob, geburtsdatum, marital status, familienstand,
    birth country, country of birth, native country, country of origin, citizenship, immigrant, native language,
    mother tongue, union member, veteran, pregnant, postcode, postal code, zip, zip code, zipcode, plz
""")

# The values of a column of sexes.
SEXES = _words("male female m f man woman männlich weiblich homme femme hombre mujer w")

# In the name of a column: data that belongs to a person.
PERSONAL = {
    "an e-mail address": _phrases("email, e mail, mail address, emailadresse, correo, courriel"),
    "a phone number": _phrases("phone, telephone, telefon, mobile number, phone number, tel, handy, telefono, fax"),
    "a bank account": _phrases("iban, bank account, account number, kontonummer"),
    "a card number": _phrases("credit card, card number, cc number, cc num, kreditkarte"),
    "an IP address": _phrases("ip, ip address, ipaddress, ip addr"),
    "a national number": _phrases("""
        ssn, social security, social security number, national id, national insurance, nino, passport, tax id,
        passport number, steuernummer, steuer id, cpf, dni, nif, codice fiscale, aadhaar, insee, pesel
    """),
    "a person's name": _phrases("""
        first name, firstname, last name, lastname, surname, forename, given name, family name, full name, fullname,
        vorname, nachname, prenom, nom de famille, apellido, cognome, customer name, client name, patient name,
        person name, employee name, user name, username, contact name, passenger name, maiden name, 姓名, 氏名,
        имя, фамилия
    """),
    "a street address": _phrases("""
        street address, street, address, strasse, adresse, direccion, indirizzo, endereco, home address
    """),
}

# In the name of a column: not a person's data after all.
IMPERSONAL = _words("type kind domain count city state country verified")

# The first names of many people.
GIVEN_NAMES = frozenset(
    _words("""
    james mary john patricia robert jennifer michael linda william elizabeth david barbara richard susan joseph jessica
    thomas sarah charles karen daniel nancy matthew lisa anthony betty mark margaret paul sandra steven ashley andrew
    emily george donna edward carol brian michelle kevin laura peter anna maria hans petra klaus sabine stefan julia
    jan eva martin monika christian sophie pierre marie jean luc camille carlos ana jose juan luis carmen pedro miguel
    antonio giulia marco francesca giuseppe joao ivan olga dmitri natasha sergei elena piotr katarzyna mohammed ahmed
    fatima ali omar aisha wei li ming yuki hiroshi kenji priya raj amit sunita emma oliver noah liam sofia lucas mia
    ben alice bob frank henry jack max leo tom alexander nicole rebecca rachel samuel simon adam erik lars ingrid
""")
)

# At the end of a column's name: an identifier, and what such names are joined with (`userid`).
ID_WORDS = _words("id ids uuid guid key code identifier kennung matricola identifiant identificador")
ID_OWNERS = _words("""
    user customer client order patient member account product item transaction session passenger employee
""")
NUMBER_WORDS = _words("number num no nr nummer numero")  # after an owner: `customer number`

# In the name of a column of whole numbers: names of something, not amounts.
CODE_WORDS = _words("code zip zipcode postcode postal plz key")

# In the name of a column of few whole numbers: amounts, not classes.
AMOUNTS = _words("count number amount quantity rating score quality age rings cnt total sum years days hours minutes")

# The class that a binary task looks for.
TRUTHY = _words("""
    yes true 1 1.0 y t on positive pos + ja oui si sí да 是 sim churn churned fraud default spam malignant abnormal
""")

# In the name of a column of numbers: the range that such a quantity has, whatever was seen of it.
NATURAL_BOUNDS = {
    _words("age alter edad idade"): (0.0, 130.0),
    _words("weeks wochen semaines semanas"): (0.0, 53.0),
    _words("percent percentage pct prozent"): (0.0, 100.0),
    _words("latitude lat"): (-90.0, 90.0),
    _words("longitude lon lng"): (-180.0, 180.0),
    _words("month monat mois mes"): (1.0, 12.0),
}

# In the label of a row that sums up others.
SUMMARY_WORDS = frozenset(
    _words("""
    total totals subtotal subtotals sum sums summe gesamt gesamtsumme gesamtergebnis zwischensumme teilsumme insgesamt
    endsumme totale totali subtotale totaux totaal subtotaal suma somma soma razem ogolem lacznie celkem osszesen toplam
    jumlah itogo summa yhteensa ialt итого всего сумма 合計 小計 総計 合计 总计 小计 总和 합계 총계
""")
)

# Spellings of missing, but only in a column that else holds numbers or dates; beyond schema.MISSING.
MISSING_AMONG_NUMBERS = frozenset(
    _words("""
    unknown none nil missing na n.a. n.a n/a n.d. n.d nd n/d undefined null (null) <na> nat nan k.a. k.a s.d.
    s/d n.v. n/v
    ? ?? ??? --- ---- \u2013 \u2014 \u2026 ... * ** # x xx xxx void blank empty nodata tbd tba
    #value! #div/0! #ref! #num! #name? #null! #error! #n/a inf -inf +inf infinity -infinity -nan 1.#qnan
    unbekannt unbek. fehlt fehlend inconnu manquant desconocido desconhecido ignorado mancante ignoto onbekend ontbreekt
    saknas ok\u00e4nd ukjent ukendt puuttuu brak hi\u00e1nyzik chyb\u00ed eksik yok bilinmiyor
    нет н/д неизвестно немає 无 無 なし 不明 없음
""")
    + _phrases("""
    n. a., k. a., s. d., n. d., n. v., not available, not applicable, not known, not recorded, no data, no value,
    missing value, keine angabe, keine daten, nicht verf\u00fcgbar, ohne angabe, sin dato, sin datos, no disponible,
    sem dados, non disponibile, non disponible, non renseign\u00e9, niet beschikbaar, brak danych, нет данных,
    не указано
""")
)
