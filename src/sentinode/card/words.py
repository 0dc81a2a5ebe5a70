"""What every card says: for whom a network is, and for what it is not."""

from __future__ import annotations

__all__ = ["ETHICS", "EXCLUDED", "INTENDED", "LABEL", "RECOMMENDED"]

LABEL = (
    "The probability that any pixel of the centre 32×32 px of a patch shows metastatic tumour; "
    "what lies around the centre is context and does not make the label."
)
INTENDED = (
    "Research on the detection of metastases in H&E-stained sections of lymph nodes: comparing "
    "networks, calibration and explanation on PatchCamelyon, the Kaggle set made from it, or "
    "patches prepared in the same way.",
    "Teaching: how a small network is trained, judged and looked into, honestly.",
    "A starting point for networks trained and checked again on a laboratory's own slides.",
    "Users: data scientists, students, and research groups in computational pathology.",
)
EXCLUDED = (
    "Diagnosis, triage, quality control of diagnoses, or any decision about a patient.",
    "Use as a medical device or as a part of one.",
    "Other tissue than lymph node, other stains than H&E, frozen sections, cytology, other "
    "scales or patch sizes than those stated here: nothing was measured there.",
    "Isolated tumour cells and micrometastases as classes of their own, the size of a "
    "metastasis, or a stage: the label knows none of them.",
    "Slides of a laboratory or scanner on which it was not checked first.",
    "Reading its probability as the share of tumour that a clinic would find: the sets are "
    "balanced, the clinic is not.",
)
ETHICS = (
    "The public sets come without age, sex, ethnicity or treatment of the patients, so that no "
    "difference between groups of people can be measured, and none can be ruled out.",
    "A miss and a false alarm cost a patient differently; the threshold's rule is stated, and "
    "whoever uses another cost has to choose another threshold.",
    "A heat map persuades even where it is wrong. It is to be shown with the probability and "
    "with how stable it is.",
)
RECOMMENDED = (
    "Check it on slides of your own, split by slide or better by patient, before believing it.",
    "Choose the threshold and fit the calibration on slides that are not reported.",
    "Look at the patches it gets wrong, most certain first; the report shows them.",
)
